/** What came of a trace under a set of policies. Every call is exactly one of cold, stem, restored, warm, rejected. */

import type { StartKind } from '../model/call.js';
import type { Clock } from '../model/clock.js';
import type { CallCounter, SimCall } from './sim-call.js';

export interface SimResult {
  policies: string;
  /** Null: as much as is wanted. */
  capacityBytes: number | null;
  calls: number;
  cold: number;
  stem: number;
  restored: number;
  warm: number;
  rejected: number;
  /** Calls that found no loaded sandbox, of those that were served. */
  missRatio: number;
  /** From a call's arrival to its start. */
  startLatencyMs: { mean: number; p50: number; p99: number };
  /** The integral of the memory of all sandboxes over the trace, and the part in which they served nothing. */
  memoryGiBs: number;
  idleMemoryGiBs: number;
  memoryMaxBytes: number;
  /** Sandboxes made ahead, ended because nobody used them, and ended to make room. */
  prewarmed: number;
  expired: number;
  evicted: number;
}

/** Counts what becomes of calls and sandboxes. */
export class Outcomes implements CallCounter {
  prewarmed = 0;
  private expired = 0;
  private evicted = 0;
  private rejectedCount = 0;
  private served = 0;
  private readonly starts = { cold: 0, stem: 0, restored: 0, warm: 0 };
  private readonly latenciesMs: Float32Array;
  private latencySumMs = 0;

  constructor(
    private readonly clock: Clock,
    calls: number,
  ) {
    this.latenciesMs = new Float32Array(calls);
  }

  /** Calls of which it is known how they began, or that they were not served. */
  get known(): number {
    return this.served + this.rejectedCount;
  }

  began({ arrivalMs, restored }: SimCall, start: StartKind): void {
    this.starts[restored && start !== 'warm' ? 'restored' : start]++;
    const latencyMs = this.clock.nowMs() - arrivalMs;
    this.latenciesMs[this.served++] = latencyMs;
    this.latencySumMs += latencyMs;
  }

  rejected(): void {
    this.rejectedCount++;
  }

  /** A sandbox was ended, by the planner's word for why. */
  ended(why: string): void {
    if (why === 'unused') this.expired++;
    else this.evicted++;
  }

  result(): Omit<
    SimResult,
    'policies' | 'capacityBytes' | 'calls' | 'memoryGiBs' | 'idleMemoryGiBs' | 'memoryMaxBytes'
  > {
    const { served, starts, rejectedCount: rejected, prewarmed, expired, evicted } = this;
    const sorted = this.latenciesMs.subarray(0, served).sort();
    const at = (share: number): number => sorted[Math.min(served - 1, Math.floor(share * served))] ?? 0;
    const misses = starts.cold + starts.stem + starts.restored;
    return {
      ...starts,
      rejected,
      missRatio: served === 0 ? 0 : misses / served,
      startLatencyMs: {
        mean: served === 0 ? 0 : this.latencySumMs / served,
        p50: at(0.5),
        p99: at(0.99),
      },
      ...{ prewarmed, expired, evicted },
    };
  }
}
