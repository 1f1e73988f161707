/**
 * How whoever measures packets wakes the control loop at the moment in which one broke the SLO. Two words in the memory
 * that both share: a counter that goes up with each ring, on which the loop sleeps, and the limit above which packets
 * are late, which the loop writes (0: nobody listens). Costs a comparison a packet; only several late ones cost a system
 * call, one an interval at most, and that never blocks. Nobody has to listen.
 */

import { wakeAll } from '../linux/futex.js';
import { bucketLowNs, bucketOf } from '../model/latency-buckets.js';
import { DOORBELL } from '../tunables/index.js';

/** Places of the two words. The counter starts at 1: 0 says that there is no bell. */
export const BellWord = { rings: 0, limitNs: 1 } as const;
export const BELL_WORDS = 2;

const LIMIT_MAX_NS = 0xffffffff;

/** The limit as it stands in its word: what is longer than 4 s is rung for from there on, and then looked at. */
export function bellLimit(sloNs: number): number {
  return Math.min(Math.max(Math.round(sloNs), 1), LIMIT_MAX_NS);
}

export class Doorbell {
  private limitNs = 0;
  /** From here on a packet is late, as the loop counts: it knows latencies by their buckets only. */
  private lateNs = Number.POSITIVE_INFINITY;
  private late = 0;
  private lateSinceNs = 0;
  private rungNs = Number.NEGATIVE_INFINITY;

  constructor(private readonly words: Int32Array) {
    Atomics.store(words, BellWord.rings, 1);
  }

  /** A packet was let go after that long. */
  passed(latencyNs: number): void {
    if (latencyNs >= this.lateNs) this.late++;
  }

  /** After some packets: rings if it has to, and looks what the limit is now. */
  done(nowNs: number): void {
    if (this.late > 0) this.ringIfDue(nowNs);
    const limitNs = this.words[BellWord.limitNs]! >>> 0;
    if (limitNs === this.limitNs) return;
    this.limitNs = limitNs;
    this.lateNs = limitNs === 0 ? Number.POSITIVE_INFINITY : bucketLowNs(bucketOf(limitNs) + 1);
  }

  /** Differences may be negative: the clock may have been set back. */
  private ringIfDue(nowNs: number): void {
    const windowNs = nowNs - this.lateSinceNs;
    if (windowNs < 0 || windowNs > DOORBELL.windowMs * 1e6) this.lateSinceNs = nowNs;
    if (this.late < DOORBELL.lateMin) {
      // Those of an earlier window do not count any more.
      if (this.lateSinceNs === nowNs) this.late = 1;
      return;
    }
    const sinceNs = nowNs - this.rungNs;
    if (sinceNs >= 0 && sinceNs < DOORBELL.gapUs * 1000) return;
    this.rungNs = nowNs;
    this.late = 0;
    Atomics.add(this.words, BellWord.rings, 1);
    wakeAll(this.words);
  }
}
