/** Quantiles over a sliding window made of parts: `record into .current`, `rotate()` once a part, read `.sum`. */

import { BUCKET_COUNT, bucketOf, LatencyBuckets } from '../model/latency-buckets.js';

export class RollingLatency {
  readonly current = new LatencyBuckets();
  readonly sum = new LatencyBuckets();
  private readonly parts: Uint32Array[];
  private next = 0;

  constructor(parts: number) {
    this.parts = Array.from({ length: parts }, () => new Uint32Array(BUCKET_COUNT));
  }

  /** Ends the current part: it joins the window, and the oldest part leaves it. */
  rotate(): void {
    const oldest = this.parts[this.next]!;
    const current = this.current.counts;
    const sum = this.sum.counts;
    for (let i = 0; i < BUCKET_COUNT; i++) {
      const fresh = current[i]!;
      const old = oldest[i]!;
      if (fresh !== old) sum[i] = sum[i]! + fresh - old;
      oldest[i] = fresh;
    }
    current.fill(0);
    this.next = (this.next + 1) % this.parts.length;
  }
}

/** Observations in buckets that lie wholly above `limitNs`. */
export function countAbove(counts: Uint32Array, limitNs: number): number {
  let sum = 0;
  for (let i = bucketOf(limitNs) + 1; i < BUCKET_COUNT; i++) sum += counts[i]!;
  return sum;
}
