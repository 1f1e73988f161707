/**
 * What a reference network function is: a step from a frame to a frame. It knows no ring, socket or clock, so the same
 * code runs on the box, in the simulator and in tests. One instance belongs to one thread.
 */

/** Returned instead of a length: the frame goes nowhere. */
export const DROP = -1;

/** 0: from the inside to the outside. 1: back. */
export type Direction = 0 | 1;

export interface NetworkFunction {
  readonly name: string;
  /**
   * Counts since the start, by plain name. In every function `forwarded` + `dropped` is the number of frames and
   * `broken` (part of `dropped`) those that do not parse; the others say why.
   */
  readonly counters: Record<string, number>;
  /**
   * `frame`: a view with the frame at offset 0 and spare capacity after `length` (a slot of about 2 KB). `nowMs`: a
   * monotonic clock in whole milliseconds (a fraction works, but costs the caller a heap number per packet). Changes
   * the frame in place; returns the new length to send out of the other port, or DROP. Never throws, never allocates
   * on the common path.
   */
  process(frame: Uint8Array, length: number, direction: Direction, nowMs: number): number;
}
