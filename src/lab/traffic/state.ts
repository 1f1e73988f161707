/**
 * What the threads of the traffic process share: one SharedArrayBuffer of counters, histograms and control words, each
 * with one writer. A packet belongs to the window in which it was *sent*: the generator writes the number of the
 * open window into each frame, and the receiver starts its counts anew when it sees a new number in `Word.window`.
 */

import { BUCKET_COUNT } from '../../model/latency-buckets.js';

/** Counters, 64-bit floats. */
export const Count = {
  /** Generator, totals. */
  sent: 0,
  /** Due, but not sent because it was too late by then. */
  skipped: 1,
  /** Due, but the transmit ring was full. */
  ringFull: 2,
  /** Receiver, of frames in `receiverWindow`. */
  receiverWindow: 3,
  received: 4,
  duplicates: 5,
  reordered: 6,
  transitMaxNs: 7,
  /** Receiver, totals. Frames without a stamp. */
  foreign: 8,
  /** Frames that came while the receiver's ring was full: the receiver's fault, not the NF's. */
  missed: 9,
  /** Generator and noise probe: the longest, reset by the main thread when a window opens. */
  latenessMaxNs: 10,
  noiseMaxNs: 11,
} as const;
const COUNTERS = 16;

/** Control words, 32-bit. */
export const Word = {
  /** Bumped after each message to the generator. */
  commands: 0,
  /** The window opened last, 1..255. Written by the generator. */
  window: 1,
} as const;
const WORDS = 16;

export class TrafficState {
  readonly counts: Float64Array;
  readonly words: Int32Array;
  /** Kernel receive time - stamped send time, of frames in `receiverWindow`. The others count up for ever. */
  readonly transit: Uint32Array;
  /** Real send time - intended send time. */
  readonly lateness: Uint32Array;
  /** How late an idle real-time timer thread woke: what the host itself adds. */
  readonly noise: Uint32Array;

  constructor(readonly shared: SharedArrayBuffer = new SharedArrayBuffer(TrafficState.bytes())) {
    const histograms = COUNTERS * 8 + WORDS * 4;
    this.counts = new Float64Array(shared, 0, COUNTERS);
    this.words = new Int32Array(shared, COUNTERS * 8, WORDS);
    this.transit = new Uint32Array(shared, histograms, BUCKET_COUNT);
    this.lateness = new Uint32Array(shared, histograms + BUCKET_COUNT * 4, BUCKET_COUNT);
    this.noise = new Uint32Array(shared, histograms + BUCKET_COUNT * 8, BUCKET_COUNT);
  }

  private static bytes(): number {
    return COUNTERS * 8 + WORDS * 4 + 3 * BUCKET_COUNT * 4;
  }

  get(counter: number): number {
    return this.counts[counter]!;
  }

  add(counter: number, value: number): void {
    this.counts[counter] = this.counts[counter]! + value;
  }

  set(counter: number, value: number): void {
    this.counts[counter] = value;
  }

  raise(counter: number, value: number): void {
    if (value > this.counts[counter]!) this.counts[counter] = value;
  }
}
