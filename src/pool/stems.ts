/**
 * The stems of the pool: which are ready, how many are being made, which may serve a function, and when calls asked for
 * one. The `StemSource`, if there is one, has the word on its own stems and is told what becomes of them.
 */

import type { StemKind } from '../engine/engines.js';
import type { Clock } from '../model/clock.js';
import { asNemoError, NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import type { PackageRef } from '../model/package.js';
import { RecentTimes } from '../policy/usage/recent-times.js';
import type { FunctionUsage } from '../policy/usage/usage.js';
import type { Instance } from './instance.js';
import { isAhead, type StemSource, type WantedStems } from './stem-source.js';

export interface StemsOptions {
  clock: Clock;
  source: StemSource | undefined;
  /** The plain stems that fit a function. */
  plainKind: (spec: FunctionSpec) => StemKind;
  /** Rejects as `Pool.make`. */
  make: (core: number, kind: StemKind) => Promise<Instance>;
  /** False: it is ending. */
  move: (stem: Instance, core: number) => boolean;
  end: (stem: Instance) => Promise<void>;
}

export class Stems {
  readonly ready: Instance[] = [];
  /** Being made, by key. */
  private readonly starting = new Map<string, number>();
  /** When calls asked for a new sandbox, by the key of its stem. */
  private readonly asked = new Map<string, RecentTimes>();

  constructor(private readonly options: StemsOptions) {}

  /** A call needs a sandbox of this kind that is not there. */
  noteAsked({ key }: StemKind): void {
    const asked = this.asked.get(key) ?? new RecentTimes();
    this.asked.set(key, asked);
    asked.record(this.options.clock.nowMs());
  }

  /** Kinds that no function needs any more. */
  forgetAsked(isNeeded: (key: string) => boolean): void {
    for (const key of this.asked.keys()) if (!isNeeded(key)) this.asked.delete(key);
  }

  askedFor(key: string): RecentTimes {
    return this.asked.get(key) ?? NEVER;
  }

  /** Those that the source wants, beside plain ones. */
  wantedAhead(functions: Iterable<{ spec: FunctionSpec; usage: FunctionUsage }>): readonly WantedStems[] {
    const { source, clock } = this.options;
    return source?.wanted(functions, clock.nowMs()) ?? NONE;
  }

  /** What a stem of that kind imports before it is ready; undefined: nothing. */
  importsOf(kind: StemKind): readonly PackageRef[] | undefined {
    return isAhead(kind) ? this.options.source?.imports(kind) : undefined;
  }

  /** Ready and starting ones of a kind. */
  count(key: string): number {
    let count = this.starting.get(key) ?? 0;
    for (const { stemKind } of this.ready) if (stemKind.key === key) count++;
    return count;
  }

  /** Makes one ahead of calls and keeps it. Rejects as `make`; with FUNCTION_LOAD if it turns out to be of no use. */
  async make(core: number, kind: StemKind): Promise<void> {
    const { key } = kind;
    this.starting.set(key, (this.starting.get(key) ?? 0) + 1);
    try {
      const stem = await this.makeUsable(core, kind);
      if (stem.state === 'stem') this.ready.push(stem);
    } finally {
      const left = this.starting.get(key)! - 1;
      if (left > 0) this.starting.set(key, left);
      else this.starting.delete(key);
    }
  }

  private async makeUsable(core: number, kind: StemKind): Promise<Instance> {
    const { source, clock, make, end } = this.options;
    let stem: Instance;
    try {
      stem = await make(core, kind);
    } catch (thrown) {
      const { code } = asNemoError(thrown);
      if (isAhead(kind) && code !== 'NO_CAPACITY' && code !== 'STOPPING') source?.failed(kind, clock.nowMs());
      throw thrown;
    }
    const why = isAhead(kind) ? source?.refuses(kind, stem.sandbox!.ahead) : undefined;
    if (why === undefined) return stem;
    await end(stem);
    throw new NemoError('FUNCTION_LOAD', `its code ${why}`);
  }

  /** One printed something before it got a function. False: nobody minds. */
  printed(stem: Instance): boolean {
    const { source, end } = this.options;
    if (!isAhead(stem.stemKind)) return false;
    source?.printed(stem.stemKind);
    void end(stem);
    return true;
  }

  /** One ended by itself before it got a function. */
  endedUnused({ stemKind }: Instance): void {
    const { source, clock } = this.options;
    if (isAhead(stemKind)) source?.failed(stemKind, clock.nowMs());
  }

  /** How much of the function's loading a stem of that kind saves, ms; undefined: it must not serve it. */
  saves(kind: StemKind, spec: FunctionSpec): number | undefined {
    const { source, clock, plainKind } = this.options;
    if (isAhead(kind)) return source?.saves(kind, spec, clock.nowMs());
    return kind.key === plainKind(spec).key ? 0 : undefined;
  }

  /** Of those that fit the function and save most, one that is on that core already if there is one; it is there then. */
  take(preferredCore: number, spec: FunctionSpec): Instance | undefined {
    for (;;) {
      const stem = this.best(preferredCore, spec);
      if (stem === undefined) return undefined;
      this.drop(stem);
      if (this.options.move(stem, preferredCore)) return stem;
    }
  }

  private best(preferredCore: number, spec: FunctionSpec): Instance | undefined {
    let stem: Instance | undefined;
    let most = -1;
    for (const one of this.ready) {
      const saved = this.saves(one.stemKind, spec) ?? -1;
      if (saved < most || saved < 0 || (saved === most && one.core !== preferredCore)) continue;
      stem = one;
      most = saved;
    }
    return stem;
  }

  drop(stem: Instance): void {
    const index = this.ready.indexOf(stem);
    if (index >= 0) this.ready.splice(index, 1);
  }
}

const NONE: readonly WantedStems[] = [];
const NEVER = new RecentTimes();
