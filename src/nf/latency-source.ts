/**
 * Where the packet latency of an NF comes from. A source lives in the control thread (or feeds it through shared
 * memory) and is sampled at each tick, so `sample` must not allocate and must not block.
 */

import type { WordAddress } from '../linux/futex.js';
import type { LatencyBuckets } from '../model/latency-buckets.js';

/** A word that changes as soon as a packet was late: the loop sleeps on it. */
export interface Bell {
  readonly address: WordAddress;
  /** The word as it was when `sample` was last called. */
  readonly value: number;
}

export interface LatencySource {
  readonly kind: 'reported' | 'runqueue' | 'tap' | 'probe';
  /** Why it cannot observe any more (or yet), as a message; undefined while it works. A faulty source adds nothing. */
  readonly fault: string | undefined;
  /** Packets so far for which the NF had no room, where the source knows. */
  readonly missed?: number;
  /** How long the present question has waited for its answer, nanoseconds; 0: none does. Of sources that ask. */
  waitingNs?(): number;
  /** Adds what was observed since the last call to `into`; returns how many observations that were. */
  sample(into: LatencyBuckets): number;
  /** Rung for packets above that limit; undefined from a source that cannot tell at once. */
  bell?(limitNs: number): Bell | undefined;
  /** When the last packet of each bucket was received, Unix nanoseconds; asked only when packets were too slow. */
  arrivals?(): Float64Array | undefined;
  close(): void;
}
