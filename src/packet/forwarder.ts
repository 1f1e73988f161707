/**
 * One direction of an NF: frames from a receive ring, through the function, into a transmit ring. The function works
 * on the copy that will be sent, so a frame is touched once. When the transmit ring is full the frame is dropped and
 * counted: waiting would hold up the other direction.
 */

import { monotonicNs, realtimeNs } from '../linux/clock.js';
import type { RxRing, TxRing } from '../linux/packet-ring.js';

/** What the runtime needs of a network function. Direction 0 enters at `--in`, 1 at `--out`. */
export interface FrameProcessor {
  /** Changes `frame` in place; returns its new length, or a negative number to drop it. */
  process(frame: Uint8Array, length: number, direction: 0 | 1, nowMs: number): number;
}

/** Where observed latencies go, nanoseconds. */
export interface LatencySink {
  record(valueNs: number): void;
}

/** Frames taken at once: bounds how long the other direction waits. */
const BATCH = 64;

export class Forwarder {
  forwarded = 0;
  droppedByFunction = 0;
  /** No free slot to send from. */
  droppedFull = 0;
  /** Longer than a slot: set a larger slot size, or turn off receive offloads on a real interface. */
  droppedTooLong = 0;
  private readonly arrivalsNs = new Float64Array(BATCH);

  constructor(
    private readonly rx: RxRing,
    private readonly tx: TxRing,
    private readonly fn: FrameProcessor,
    private readonly direction: 0 | 1,
    private readonly latency: LatencySink,
  ) {}

  /** Forwards what is there, at most a batch; returns the number of frames taken. */
  run(): number {
    const { rx, tx } = this;
    if (!rx.next()) return 0;
    const nowMs = monotonicNs() / 1e6;
    let taken = 0;
    let sent = 0;
    do {
      if (this.forward(nowMs)) this.arrivalsNs[sent++] = rx.timestampNs();
      rx.release();
      taken++;
    } while (taken < BATCH && rx.next());
    if (sent > 0) {
      tx.kick();
      // One look at the clock a batch: the frames left together.
      const leftNs = realtimeNs();
      for (let i = 0; i < sent; i++) this.latency.record(leftNs - this.arrivalsNs[i]!);
    }
    return taken;
  }

  /** Sends what the kernel did not take earlier. False: there is still some. */
  flush(): boolean {
    return this.tx.kick();
  }

  private forward(nowMs: number): boolean {
    const { rx, tx } = this;
    const length = rx.length;
    if (rx.wireLength > length || length > tx.frameBytes) {
      this.droppedTooLong++;
      return false;
    }
    let slot = tx.slot();
    if (slot < 0) {
      tx.kick();
      slot = tx.slot();
      if (slot < 0) {
        this.droppedFull++;
        return false;
      }
    }
    copyWords(rx.words, rx.frameWord(), tx.words, tx.frameWord(slot), (length + 3) >>> 2);
    const newLength = this.fn.process(tx.frames[slot]!, length, this.direction, nowMs);
    if (newLength < 0) {
      this.droppedByFunction++;
      return false;
    }
    tx.commit(newLength);
    this.forwarded++;
    return true;
  }
}

/** A copy between two mappings without making views: `set(subarray())` would allocate for each frame. */
export function copyWords(from: Int32Array, fromWord: number, to: Int32Array, toWord: number, count: number): void {
  for (let i = 0; i < count; i++) to[toWord + i] = from[fromWord + i]!;
}
