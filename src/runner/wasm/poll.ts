/**
 * `poll_oneoff` of WASI preview 1: waits until the first of its subscriptions is due, and tells all that then are. Streams
 * always are: what there is to read is there from the start, and what is written is kept. A wait burns nothing, and ends
 * with its thread: whoever waits longer than its call may take is ended as one that computes.
 */

import { ERRNO } from './errno.js';

const SUBSCRIPTION_BYTES = 48;
const EVENT_BYTES = 32;
const CLOCK_TAG = 0;
const READ_TAG = 1;
const WRITE_TAG = 2;
const ABSOLUTE = 1;
const HANG_UP = 1;
const REALTIME = 0;
const MONOTONIC = 1;
/** One wait; a longer one is several. */
const WAIT_MAX_MS = 60_000;

/** Nobody ever writes to it. */
const never = new Int32Array(new SharedArrayBuffer(4));

/** Bytes that a stream has or takes at once; undefined if the descriptor is none for that. */
export interface Streams {
  readable(fd: number): number | undefined;
  writable(fd: number): number | undefined;
}

/** Milliseconds; undefined for a clock that is not there. */
export function clockMs(clock: number): number | undefined {
  if (clock === REALTIME) return Date.now();
  return clock === MONOTONIC ? performance.now() : undefined;
}

/** Throws RangeError where it reads or writes beyond the memory. */
export function pollOneoff(
  view: DataView,
  { from, to, count, told }: { from: number; to: number; count: number; told: number },
  streams: Streams,
): number {
  if (count === 0) return ERRNO.inval;
  const startedMs = performance.now();
  /** Until it is due; not above 0: it is. */
  const leftMs = (at: number): number => {
    if (view.getUint8(at + 8) !== CLOCK_TAG) return 0;
    const clock = view.getUint32(at + 16, true);
    const nowMs = clockMs(clock);
    if (nowMs === undefined) return 0;
    const timeoutMs = Number(view.getBigUint64(at + 24, true)) / 1e6;
    if ((view.getUint16(at + 40, true) & ABSOLUTE) !== 0) return timeoutMs - nowMs;
    return timeoutMs - (performance.now() - startedMs);
  };
  const firstMs = (): number => {
    let first = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count && first > 0; i++)
      first = Math.min(first, leftMs(from + i * SUBSCRIPTION_BYTES));
    return first;
  };
  let events = 0;
  // Again if the wall clock was set back just then.
  while (events === 0) {
    for (let waitMs = firstMs(); waitMs > 0; waitMs = firstMs())
      Atomics.wait(never, 0, 0, Math.min(waitMs, WAIT_MAX_MS));
    for (let i = 0; i < count; i++) {
      const at = from + i * SUBSCRIPTION_BYTES;
      if (leftMs(at) <= 0) writeEvent(view, at, to + events++ * EVENT_BYTES, streams);
    }
  }
  view.setUint32(told, events, true);
  return ERRNO.success;
}

function writeEvent(view: DataView, at: number, to: number, streams: Streams): void {
  const userdata = view.getBigUint64(at, true);
  const tag = view.getUint8(at + 8);
  const subject = view.getUint32(at + 16, true);
  let error: number = ERRNO.success;
  let bytes: number | undefined = 0;
  if (tag === CLOCK_TAG) {
    if (clockMs(subject) === undefined) error = ERRNO.inval;
  } else if (tag === READ_TAG || tag === WRITE_TAG) {
    bytes = tag === READ_TAG ? streams.readable(subject) : streams.writable(subject);
    if (bytes === undefined) error = ERRNO.badf;
  } else error = ERRNO.inval;
  view.setBigUint64(to, userdata, true);
  view.setUint16(to + 8, error, true);
  view.setUint8(to + 10, tag);
  view.setBigUint64(to + 16, BigInt(bytes ?? 0), true);
  view.setUint16(to + 24, tag === READ_TAG && bytes === 0 ? HANG_UP : 0, true);
}
