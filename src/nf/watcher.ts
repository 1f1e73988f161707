/**
 * Turns scans into changes. An instance is its pid AND start time. An NF that ends and one of the same profile that
 * comes between the same two scans is a restart: told once, as one change, so that nobody acts on it
 * twice.
 */

import { NemoError } from '../model/errors.js';
import type { NfInstance } from '../model/nf-profile.js';
import { DISCOVERY } from '../tunables/index.js';
import type { Discovery } from './discovery.js';

export type NfChange =
  | { kind: 'appeared'; nf: NfInstance }
  | { kind: 'gone'; nf: NfInstance }
  /** Another process of the same profile took its place. */
  | { kind: 'restarted'; nf: NfInstance; before: NfInstance }
  /** The same process, but its threads, their names, roles or cores differ. */
  | { kind: 'changed'; nf: NfInstance; before: NfInstance };

/** What happened between two scans. Pure. */
export function diffInstances(before: readonly NfInstance[], now: readonly NfInstance[]): NfChange[] {
  const changes: NfChange[] = [];
  const gone = before.filter((old) => !now.some((nf) => isSame(nf, old)));
  for (const nf of now) {
    const same = before.find((old) => isSame(nf, old));
    if (same !== undefined) {
      if (shapeOf(same) !== shapeOf(nf)) changes.push({ kind: 'changed', nf, before: same });
      continue;
    }
    const predecessor = gone.findIndex((old) => old.profile.name === nf.profile.name);
    if (predecessor < 0) changes.push({ kind: 'appeared', nf });
    else changes.push({ kind: 'restarted', nf, before: gone.splice(predecessor, 1)[0]! });
  }
  return [...gone.map((nf): NfChange => ({ kind: 'gone', nf })), ...changes];
}

function isSame(a: NfInstance, b: NfInstance): boolean {
  return a.pid === b.pid && a.startTicks === b.startTicks && a.profile.name === b.profile.name;
}

function shapeOf(nf: NfInstance): string {
  const threads = nf.threads.map(({ tid, name, packet, cores }) => `${tid} ${name} ${packet} ${cores}`);
  return `${nf.profile.mode} ${nf.cores} ${threads.sort().join('|')}`;
}

export class NfWatcher {
  private current: NfInstance[] = [];
  private timer: NodeJS.Timeout | undefined;
  private periodMs: number | undefined;

  /** `onError` gets what a listener or a scan threw; the watch goes on. */
  constructor(
    private readonly discovery: Discovery,
    private readonly onChange: (change: NfChange) => void,
    private readonly onError: (thrown: unknown) => void,
  ) {}

  /** The NFs of the last scan. */
  get instances(): readonly NfInstance[] {
    return this.current;
  }

  /**
   * Scans at once, then every `periodMs`; less often where a scan takes long, for whoever may start processes may start
   * thousands, and all else of this thread waits meanwhile.
   */
  start(periodMs: number = DISCOVERY.periodMs): void {
    if (this.periodMs !== undefined) throw new NemoError('INTERNAL', 'the NF watch runs already');
    this.periodMs = periodMs;
    this.scan();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.periodMs = undefined;
  }

  private scan(): void {
    const fromMs = performance.now();
    try {
      const before = this.current;
      this.current = this.discovery.scan();
      for (const change of diffInstances(before, this.current)) this.notify(change);
    } catch (thrown) {
      this.onError(thrown);
    }
    if (this.periodMs === undefined) return;
    const tookMs = performance.now() - fromMs;
    this.timer = setTimeout(() => this.scan(), Math.max(this.periodMs, tookMs * DISCOVERY.restTimes));
  }

  private notify(change: NfChange): void {
    try {
      this.onChange(change);
    } catch (thrown) {
      this.onError(thrown);
    }
  }
}
