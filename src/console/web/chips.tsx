/**
 * A function's sandboxes as chips: a letter and a colour for the state, the rest on hover or focus. The whole group is
 * one stop of the Tab key; arrow keys move inside it, so that a hundred sandboxes do not make a hundred stops.
 */

import { useRef, useState } from 'preact/hooks';
import type { FeedSandbox, SandboxState } from '../../model/feed.js';
import { bytes, count, percent } from './format.js';

const STATES: Array<{ state: SandboxState; letter: string }> = [
  { state: 'busy', letter: 'B' },
  { state: 'warm', letter: 'W' },
  { state: 'loading', letter: 'L' },
  { state: 'stem', letter: 'S' },
  { state: 'starting', letter: '+' },
  { state: 'ending', letter: '−' },
];
const LETTER = Object.fromEntries(STATES.map(({ state, letter }) => [state, letter]));
const RANK = Object.fromEntries(STATES.map(({ state }, rank) => [state, rank]));
const SHOWN = 96;
const TIP_WIDTH = 232;

export function SandboxChips({ owner, sandboxes }: { owner: string; sandboxes: FeedSandbox[] }) {
  const group = useRef<HTMLDivElement>(null);
  const [openId, setOpenId] = useState<string | null>(null);
  const [stopId, setStopId] = useState<string | null>(null);
  if (sandboxes.length === 0) return <span class="muted">none</span>;

  // By age, not by state: a chip stays where it is when it changes colour.
  const shown = sandboxes.slice(0, SHOWN);
  const open = shown.find((sandbox) => sandbox.id === openId);
  const stop = shown.find((sandbox) => sandbox.id === stopId) ?? shown[0]!;
  const move = (event: KeyboardEvent) => {
    if (event.key === 'Escape') return setOpenId(null);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = shown.findIndex((sandbox) => sandbox.id === stop.id);
    const next = (at + step + shown.length) % shown.length;
    group.current!.querySelectorAll<HTMLElement>('.chip')[next]!.focus();
  };
  return (
    <div class="chips" ref={group}>
      <div class="chip-row" role="toolbar" aria-label={`Sandboxes of ${owner}`} onKeyDown={move}>
        {shown.map((sandbox) => (
          <button
            type="button"
            key={sandbox.id}
            class={`chip ${sandbox.state}`}
            data-sandbox={sandbox.id}
            tabIndex={sandbox.id === stop.id ? 0 : -1}
            aria-label={`${sandbox.state}: ${facts(sandbox)
              .map(([term, value]) => `${term} ${value}`)
              .join(', ')}`}
            onPointerEnter={() => setOpenId(sandbox.id)}
            onPointerLeave={() => setOpenId(null)}
            onFocus={() => {
              setOpenId(sandbox.id);
              setStopId(sandbox.id);
            }}
            onBlur={() => setOpenId(null)}
          >
            {LETTER[sandbox.state] ?? '?'}
          </button>
        ))}
        {sandboxes.length > SHOWN && <span class="muted"> and {sandboxes.length - SHOWN} more</span>}
      </div>
      <span class="muted sub">{summary(sandboxes)}</span>
      {open && <Tip sandbox={open} group={group.current!} />}
    </div>
  );
}

function Tip({ sandbox, group }: { sandbox: FeedSandbox; group: HTMLElement }) {
  const chip = group.querySelector<HTMLElement>(`[data-sandbox="${CSS.escape(sandbox.id)}"]`);
  const left = Math.max(0, Math.min(chip?.offsetLeft ?? 0, group.clientWidth - TIP_WIDTH));
  return (
    <div class="tip" role="tooltip" style={{ left: `${left}px`, top: `${(chip?.offsetTop ?? 0) + 26}px` }}>
      <dl>
        {[['state', sandbox.state], ...facts(sandbox)].map(([term, value]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function facts(sandbox: FeedSandbox): Array<[string, string]> {
  return [
    ['id', sandbox.id],
    ['core', String(sandbox.core)],
    ['pid', String(sandbox.pid)],
    ['memory', bytes(sandbox.memoryBytes)],
    ['CPU', percent(sandbox.cpuRatio)],
    ['calls', count(sandbox.calls)],
  ];
}

/** `2 busy, 1 warm` */
export function summary(sandboxes: FeedSandbox[]): string {
  const numbers = new Map<string, number>();
  for (const { state } of sandboxes) numbers.set(state, (numbers.get(state) ?? 0) + 1);
  return [...numbers]
    .sort(([a], [b]) => (RANK[a] ?? 9) - (RANK[b] ?? 9))
    .map(([state, n]) => `${n} ${state}`)
    .join(', ');
}
