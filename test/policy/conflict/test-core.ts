/** One core whose looks a test makes up: calls the conflict policy as the control loop does, with a clock of its own. */

import { COUNTERS, type Suspect } from '../../../src/policy/conflict/attribution.js';
import type { CoreSnapshot, NfSample } from '../../../src/policy/conflict/core-snapshot.js';
import {
  type ConflictState,
  conflictState,
  type Decision,
  decide,
  observe,
  wantsRates,
} from '../../../src/policy/conflict/decide.js';
import type { LadderRule } from '../../../src/policy/conflict/ladder-rule.js';
import { exponentialBackoff } from '../../../src/policy/conflict/ladders/exponential-backoff.js';

/** The same look in each of `ms` ticks (default 1). */
export type Phase = Partial<Omit<CoreSnapshot, 'nfs'>> & { ms?: number; nf?: Partial<NfSample> };

export const nfSample = (over: Partial<NfSample> = {}): NfSample => ({
  ...{ id: 'nf', sloUs: 1_000, packets: 0, aboveSlo: 0, waitNs: 0, slices: 0 },
  ...{ queueSign: undefined, stoppedByQuota: false },
  ...over,
});

export const suspect = (over: Partial<Suspect> = {}): Suspect => ({
  ...{ recentNs: 5e6, busy: true, penalty: 0, penaltyAtMs: 0, heldUntilMs: 0 },
  rates: new Float64Array(COUNTERS.length),
  ...over,
});

export class TestCore {
  readonly state: ConflictState;
  snapshot: CoreSnapshot;
  nowMs = 0;
  last: Decision = { kind: 'keep' };
  askedForRates = 0;

  constructor(over: Partial<CoreSnapshot> = {}, rule: LadderRule = exponentialBackoff) {
    this.state = conflictState(rule, 0);
    this.snapshot = {
      ...{ ticks: 1, lateNs: 0, nfs: [], functions: [suspect()], functionsRan: true },
      ...{ outOfShare: false, lent: false, nfRatio: 0, othersRatio: 0 },
      ...over,
    };
    this.setNfs([nfSample()]);
  }

  get level(): number {
    return this.state.ladder.level;
  }

  setNfs(nfs: readonly NfSample[]): void {
    this.snapshot = { ...this.snapshot, nfs };
    this.state.judges.set(nfs);
  }

  /** All changes that it came to, as `from>to cause` or `hold index cause`. */
  run(phase: Phase): string[] {
    const { ms = 1 } = phase;
    const changes: string[] = [];
    for (let left = ms; left > 0; left--) {
      const snapshot = this.observe(phase, Math.min(left, 1));
      if (wantsRates(snapshot, this.state, this.nowMs)) this.askedForRates++;
      this.last = decide(snapshot, this.state, this.nowMs);
      if (this.last.kind === 'level') changes.push(`${this.last.from}>${this.last.to} ${this.last.cause}`);
      if (this.last.kind === 'hold') changes.push(`hold ${this.last.index} ${this.last.cause}`);
    }
    return changes;
  }

  observe({ ms: _, nf, ...look }: Phase, tookMs = 1): CoreSnapshot {
    this.nowMs += tookMs;
    const sloUs = nf?.sloUs;
    if (sloUs !== undefined && sloUs !== this.snapshot.nfs[0]!.sloUs) this.setNfs([nfSample({ sloUs })]);
    const nfs = nf === undefined ? this.snapshot.nfs : [nfSample(nf)];
    const snapshot = { ...this.snapshot, ...look, nfs };
    observe(snapshot, this.state, this.nowMs);
    return snapshot;
  }
}
