/**
 * Which packet broke the SLO? Known is when the last packet of each latency was received. The judgement fell in one
 * tick, so it was a packet above the SLO that left in that tick; of several, the one received first. Pure.
 */

import { bucketMidNs, bucketOf } from '../packet/latency-buckets.js';

/**
 * `arrivals`: Unix nanoseconds for each bucket, 0 = none. `sinceUnixNs`: when the last tick looked. Undefined: none of
 * them left since then (they left while the tick before looked, or the clock was set).
 */
export function receivedOfBreach(
  arrivals: Float64Array,
  sloNs: number,
  sinceUnixNs: number,
): number | undefined {
  let first = Number.POSITIVE_INFINITY;
  for (let i = bucketOf(sloNs) + 1; i < arrivals.length; i++) {
    const received = arrivals[i]!;
    // A bucket knows its latencies within a sixteenth: a packet that left as the last tick looked may be either.
    if (received > 0 && received < first && received + bucketMidNs(i) * 1.04 >= sinceUnixNs) first = received;
  }
  return first === Number.POSITIVE_INFINITY ? undefined : first;
}
