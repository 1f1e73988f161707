/**
 * One frame of the feed as a screen of text: what each NF core is doing now, whether packets keep their SLO, the
 * functions, and what happened last. Pure: the same frame and history give the same text. `nemo top` and the demo
 * both show it.
 */

import type { FeedCore, FeedEvent, FeedFrame, FeedFunction, FeedNf } from '../model/feed.js';
import { formatBytes } from '../model/quantity.js';
import { renderLine, type Span, type Style, shareCells, sparkline } from './terminal.js';

const HISTORY_FRAMES = 600;
const EVENTS_SHOWN = 8;
const FUNCTIONS_SHOWN = 12;
const BAR_MAX = 60;
const COLUMNS_MIN = 40;

/** What earlier frames said, for sparklines and the list of events. */
export class TopHistory {
  readonly p99Us = new Map<number, Array<number | null>>();
  events: FeedEvent[] = [];

  add(frame: FeedFrame): void {
    for (const core of frame.cores) {
      if (core.role !== 'nf') continue;
      const series = this.p99Us.get(core.core) ?? [];
      this.p99Us.set(core.core, series);
      series.push(core.p99Us);
      if (series.length > HISTORY_FRAMES) series.shift();
    }
    this.events = [...this.events, ...frame.events].slice(-EVENTS_SHOWN);
  }
}

/** Lines without a newline at the end; none is wider than `columns`. Glyphs tell without colour, too. */
export function renderTop(
  frame: FeedFrame,
  columns: number,
  history: TopHistory = onlyThis(frame),
  colour = false,
): string {
  const width = Math.max(COLUMNS_MIN, columns);
  const lines: Span[][] = [
    ...headLines(frame),
    [],
    ...frame.cores.flatMap((core) => coreLines(core, width, history)),
    [
      ['  '],
      ['█', 'blue'],
      [' NF  '],
      ['▒', 'green'],
      [' functions  '],
      ['░', 'dim'],
      [' other  '],
      ['·', 'dim'],
      [' idle', 'dim'],
    ],
    [],
    ...nfLines(frame.nfs),
    [],
    ...functionLines(frame.functions),
    [],
    ...eventLines(history.events),
  ];
  return lines.map((line) => renderLine(line, width, colour)).join('\n');
}

function onlyThis(frame: FeedFrame): TopHistory {
  const history = new TopHistory();
  history.add(frame);
  return history;
}

function headLines({ agent }: FeedFrame): Span[][] {
  const { loop, memory } = agent;
  const lines: Span[][] = [
    [
      ['NEMO ', 'bold'],
      [`${agent.version}  ${agent.hostname}  policy `],
      [agent.policy, 'bold'],
      [`  up ${clock(agent.uptimeS)}`],
      [
        `  loop ${Math.round(loop.hz)} Hz, p99 ${us(loop.latenessP99Us)} late, ${percent(loop.costRatio)} of a core`,
        'dim',
      ],
    ],
    [
      [`memory  agent ${formatBytesShort(memory.agentRssBytes)}`],
      [`  sandboxes ${formatBytesShort(memory.sandboxesBytes)}`],
      [`  free ${formatBytesShort(memory.hostAvailableBytes)}`],
      [`  stems ${agent.stems}`],
    ],
  ];
  for (const warning of agent.warnings) lines.push([[`! ${warning}`, 'yellow']]);
  return lines;
}

function coreLines(core: FeedCore, width: number, history: TopHistory): Span[][] {
  const label = `core ${core.core}`.padEnd(8);
  const barWidth = Math.max(10, Math.min(BAR_MAX, width - label.length - 34));
  const [nf, functions, other] = shareCells([core.nfRatio, core.functionRatio, core.otherRatio], barWidth);
  const used = nf! + functions! + other!;
  const bar: Span[] = [
    [label, 'bold'],
    ['█'.repeat(nf!), 'blue'],
    ['▒'.repeat(functions!), 'green'],
    ['░'.repeat(other!), 'dim'],
    ['·'.repeat(barWidth - used), 'dim'],
  ];
  if (core.role !== 'nf') return [[...bar, [`  ${core.role}`, 'dim']]];
  bar.push(
    [`  NF ${percent(core.nfRatio).padStart(4)}`, 'blue'],
    [`  fn ${percent(core.functionRatio).padStart(4)}`, 'green'],
    [`  idle ${percent(core.idleRatio).padStart(4)}`, 'dim'],
  );
  return [bar, latencyLine(core, barWidth, history), harvestLine(core)];
}

function latencyLine(core: FeedCore, barWidth: number, history: TopHistory): Span[] {
  const { p50Us, p99Us, sloUs } = core;
  const past = (history.p99Us.get(core.core) ?? []).slice(-barWidth);
  const top = Math.max(1.25 * (sloUs ?? 0), ...past.map((value) => value ?? 0));
  const blank = ' '.repeat(8 + barWidth - past.length);
  if (p99Us === null) return [[blank], ...sparkline(past, top, sloUs), ['  no packets', 'dim']];
  const broken = sloUs !== null && p99Us > sloUs;
  return [
    [blank],
    ...sparkline(past, top, sloUs),
    ['  p99 '],
    [us(p99Us), broken ? 'red' : 'bold'],
    [sloUs === null ? '' : ` of ${us(sloUs)}`],
    [p50Us === null ? '' : `  p50 ${us(p50Us)}`],
  ];
}

function harvestLine(core: FeedCore): Span[] {
  const { totals } = core;
  const levelStyle: Style = core.throttleLevel === 0 ? 'green' : core.throttleLevel > 2 ? 'red' : 'yellow';
  const harvested = totals.spareS > 0 ? percent(totals.harvestedS / totals.spareS) : '-';
  const running = core.running.map(({ functionName }) => functionName).join(', ');
  return [
    [' '.repeat(8)],
    [`throttle ${core.throttleLevel} ${core.throttleName}`, levelStyle],
    [`  conflicts ${core.conflicts}`],
    [`  harvested ${totals.harvestedS.toFixed(1)} of ${totals.spareS.toFixed(1)} s spare (${harvested})`],
    [running === '' ? '' : `  running ${running}`, 'green'],
  ];
}

function nfLines(nfs: readonly FeedNf[]): Span[][] {
  if (nfs.length === 0) return [[['no network function found', 'dim']]];
  const rows = nfs.map((nf) => [
    nf.id,
    nf.state === 'gone' ? 'gone' : nf.mode,
    nf.cores.join(','),
    percent(nf.busyRatio),
    us(nf.p50Us),
    us(nf.p99Us),
    us(nf.p999Us),
    us(nf.sloUs),
    nf.sloHeld === null ? '-' : nf.sloHeld ? 'held' : 'broken',
    nf.protection,
  ]);
  const styles = nfs.map((nf): Style | undefined =>
    nf.state === 'gone' ? 'dim' : nf.sloHeld === false ? 'red' : undefined,
  );
  return tableLines(
    ['NF', 'MODE', 'CORES', 'BUSY', 'P50', 'P99', 'P99.9', 'SLO', '', 'PROTECTION'],
    'llrrrrrrll',
    rows,
    styles,
  );
}

function functionLines(functions: readonly FeedFunction[]): Span[][] {
  if (functions.length === 0) return [[["no function deployed: 'nemo deploy PATH' makes one", 'dim']]];
  const byRate = [...functions].sort((a, b) => b.ratePerS - a.ratePerS || (a.name < b.name ? -1 : 1));
  const shown = byRate.slice(0, FUNCTIONS_SHOWN);
  const rows = shown.map((fn) => [
    fn.name,
    fn.ratePerS.toFixed(1),
    fn.p50Ms === null ? '-' : fn.p50Ms.toFixed(1),
    fn.p99Ms === null ? '-' : fn.p99Ms.toFixed(1),
    String(fn.inFlight),
    String(fn.queued),
    String(fn.completed),
    String(fn.failed),
    `${fn.starts.cold}/${fn.starts.stem}/${fn.starts.warm}`,
    sandboxSummary(fn),
  ]);
  const styles = shown.map((fn): Style | undefined =>
    fn.ratePerS === 0 && fn.inFlight === 0 ? 'dim' : undefined,
  );
  const lines = tableLines(
    ['FUNCTION', 'CALLS/S', 'P50 ms', 'P99 ms', 'RUN', 'WAIT', 'OK', 'FAILED', 'COLD/STEM/WARM', 'SANDBOXES'],
    'lrrrrrrrrl',
    rows,
    styles,
  );
  if (byRate.length > shown.length) lines.push([[`and ${byRate.length - shown.length} more`, 'dim']]);
  return lines;
}

function sandboxSummary(fn: FeedFunction): string {
  const counts = new Map<string, number>();
  for (const { state } of fn.sandboxes) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(' ') || '-';
}

function eventLines(events: readonly FeedEvent[]): Span[][] {
  if (events.length === 0) return [[['nothing has happened yet', 'dim']]];
  return events.map((event): Span[] => [
    [`${new Date(event.timeMs).toISOString().slice(11, 19)} `, 'dim'],
    [
      event.kind.padEnd(18),
      event.severity === 'error' ? 'red' : event.severity === 'warning' ? 'yellow' : 'cyan',
    ],
    [event.message],
    [event.reactionUs === undefined ? '' : `  (after ${us(event.reactionUs)})`, 'dim'],
  ]);
}

/** `align`: l or r for each column. */
function tableLines(
  headings: readonly string[],
  align: string,
  rows: readonly string[][],
  styles: readonly (Style | undefined)[],
): Span[][] {
  const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (align[i] === 'r' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ');
  return [
    [[line(headings), 'dim']],
    ...rows.map((row, i): Span[] => {
      const style = styles[i];
      return [style === undefined ? [line(row)] : [line(row), style]];
    }),
  ];
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(ratio > 0 && ratio < 0.095 ? 1 : 0)}%`;
}

/** Three digits at most: latency beyond that is noise to the eye. */
function us(value: number | null): string {
  if (value === null) return '-';
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} s`;
  if (value >= 1e3) return `${(value / 1e3).toPrecision(3)} ms`;
  return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(2))} us`;
}

function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const pad = (value: number): string => String(value).padStart(2, '0');
  return `${Math.floor(whole / 3600)}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
}

function formatBytesShort(bytes: number): string {
  return formatBytes(bytes >= 2 ** 30 ? bytes : Math.round(bytes / 2 ** 20) * 2 ** 20);
}
