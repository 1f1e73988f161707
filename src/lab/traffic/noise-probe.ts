/**
 * A thread that does nothing but sleep, at a real-time priority above all of ours, and notes how late it woke. When it
 * is late, the host was away, and latencies of that window are the host's. Its thread is on the housekeeping core.
 */

import { monotonicNs, sleepUntil } from '../../linux/clock.js';
import { bucketOf } from '../../model/latency-buckets.js';
import { TRAFFIC } from '../../tunables/index.js';
import { Count, type TrafficState } from './state.js';

/** Probes until the process ends. */
export function probeNoise(state: TrafficState): never {
  const periodNs = TRAFFIC.noisePeriodUs * 1e3;
  for (let dueNs = monotonicNs() + periodNs; ; ) {
    sleepUntil(dueNs);
    const nowNs = monotonicNs();
    const bucket = bucketOf(nowNs - dueNs);
    state.noise[bucket] = state.noise[bucket]! + 1;
    state.raise(Count.noiseMaxNs, nowNs - dueNs);
    dueNs = Math.max(dueNs, nowNs - periodNs) + periodNs;
  }
}
