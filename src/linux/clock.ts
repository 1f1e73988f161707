/**
 * The kernel's clocks as plain numbers, nanoseconds, without an allocation.
 * Wall-clock time counts from `REALTIME_BASE_S`, not from 1970: only so does it stay exact in a double. The base
 * differs between threads and processes: what crosses one of those borders must travel as seconds and nanoseconds.
 */

import { clockGettime, clockNanosleep } from './libc.js';

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const TIMER_ABSTIME = 1;

/** The second since 1970 from which `realtimeNs` counts in this thread. Exact for the 104 days that follow. */
export const REALTIME_BASE_S = Math.floor(Date.now() / 1000);

const timespec = new BigInt64Array(2);
/** The same 16 bytes: [seconds low, seconds high, nanoseconds, 0]. Reading BigInts would allocate. */
const words = new Uint32Array(timespec.buffer);
const request = new BigInt64Array(2);
const requestWords = new Uint32Array(request.buffer);

/** Wall-clock nanoseconds since REALTIME_BASE_S. */
export function realtimeNs(): number {
  clockGettime(CLOCK_REALTIME, timespec);
  return (words[0]! - REALTIME_BASE_S) * 1e9 + words[2]!;
}

/** The same since 1970, known to 256 ns: what may cross to another thread or process. */
export function unixNs(): number {
  return toUnixNs(realtimeNs());
}

export function toUnixNs(sinceBaseNs: number): number {
  return REALTIME_BASE_S * 1e9 + sinceBaseNs;
}

/** Nanoseconds since boot. */
export function monotonicNs(): number {
  clockGettime(CLOCK_MONOTONIC, timespec);
  return words[0]! * 1e9 + words[2]!;
}

/** Blocks this thread until `monotonicNs()` reaches `dueNs`; a due time in the past returns at once. */
export function sleepUntil(dueNs: number): void {
  const seconds = Math.floor(dueNs / 1e9);
  requestWords[0] = seconds;
  requestWords[2] = dueNs - seconds * 1e9;
  clockNanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, request, null);
}
