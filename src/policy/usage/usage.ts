/**
 * What was seen of one function, for policies to go by. The mechanism writes it (the dispatcher on a box, the world in
 * the simulator); a policy only reads it, and so stays a pure function.
 */

import { POOL } from '../../tunables/index.js';
import { IdleTimes } from './idle-times.js';
import { RecentTimes } from './recent-times.js';

export interface FunctionUsage {
  /** Calls since it last had no sandbox at all (FaasCache's frequency). */
  readonly frequency: number;
  /** When its last call ended; NaN before the first. */
  readonly lastEndMs: number;
  /** What making a sandbox for it costs a caller, ms: the mean of what was seen. */
  readonly startMs: number;
  /** From the end of a call to the next call, where nothing ran between. */
  readonly idleTimes: Pick<IdleTimes, 'count' | 'variation' | 'lowerEdgeMs' | 'upperEdgeMs'>;
  /** Calls for which no sandbox was ready. */
  readonly misses: Pick<RecentTimes, 'since' | 'oldestSince'>;
}

/** Weight of the newest start in the mean. */
const START_WEIGHT = 0.3;

export class UsageHistory implements FunctionUsage {
  frequency = 0;
  lastEndMs = Number.NaN;
  startMs: number = POOL.startFirstMs;
  readonly idleTimes = new IdleTimes();
  readonly misses = new RecentTimes();

  /** A call came; `idle`: nothing ran or waited then. */
  arrived(nowMs: number, idle: boolean): void {
    this.frequency++;
    if (idle && !Number.isNaN(this.lastEndMs)) this.idleTimes.record(nowMs - this.lastEndMs);
  }

  ended(nowMs: number): void {
    this.lastEndMs = nowMs;
  }

  started(tookMs: number): void {
    this.startMs += START_WEIGHT * (tookMs - this.startMs);
  }

  /** Its last sandbox is gone. */
  gone(): void {
    this.frequency = 0;
  }
}
