/**
 * Which packet broke the SLO? Known is when the last packet of each latency was received. The judgement fell in one
 * tick, so it was a packet above the SLO that left in that tick; of several, the one received first. Pure.
 */

import { bucketMidNs, bucketOf } from '../../model/latency-buckets.js';

export interface Breach {
  /** When the kernel received it, and when it was let go, Unix nanoseconds; the latter within 3 % of its latency. */
  receivedUnixNs: number;
  leftUnixNs: number;
}

/**
 * `arrivals`: Unix nanoseconds for each bucket, 0 = none. `sinceUnixNs`: when the last look was. Undefined: none of
 * them left since then (they left while that look was under way, or the clock was set).
 */
export function findBreach(arrivals: Float64Array, sloNs: number, sinceUnixNs: number): Breach | undefined {
  let first: Breach | undefined;
  for (let i = bucketOf(sloNs) + 1; i < arrivals.length; i++) {
    const received = arrivals[i]!;
    if (received === 0 || (first !== undefined && received >= first.receivedUnixNs)) continue;
    // A bucket knows its latencies within a sixteenth: a packet that left as the last tick looked may be either.
    const latencyNs = bucketMidNs(i);
    if (received + latencyNs * 1.04 < sinceUnixNs) continue;
    first = { receivedUnixNs: received, leftUnixNs: received + latencyNs };
  }
  return first;
}
