/**
 * Where the packet latency of an NF comes from. A source lives in the control thread (or feeds it through shared
 * memory) and is sampled at each tick, so `sample` must not allocate and must not block.
 */

import type { LatencyBuckets } from '../packet/latency-buckets.js';

export interface LatencySource {
  readonly kind: 'reported' | 'runqueue' | 'tap' | 'probe';
  /** Why it cannot observe any more (or yet), in words; undefined while it works. A faulty source adds nothing. */
  readonly fault: string | undefined;
  /** Packets so far for which the NF had no room, where the source knows. */
  readonly missed?: number;
  /** Adds what was observed since the last call to `into`; returns how many observations that were. */
  sample(into: LatencyBuckets): number;
  /** When the last packet of each bucket was received, Unix nanoseconds; asked only when packets were too slow. */
  arrivals?(): Float64Array | undefined;
  close(): void;
}
