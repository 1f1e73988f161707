/**
 * One direction of an NF: frames from a receive ring, through the function, into a transmit ring. The function works
 * on the copy that will be sent, so a frame is touched once. When the transmit ring is full the frame is dropped and
 * counted: waiting would hold up the other direction.
 */

import { monotonicNs, realtimeNs, toUnixNs } from '../linux/clock.js';
import type { RxRing, TxRing } from '../linux/packet-ring.js';
import type { Doorbell } from './doorbell.js';
import type { LatencyBuckets } from './latency-buckets.js';
import { PacketCounter } from './shared-latency.js';

/** What the runtime needs of a network function. Direction 0 enters at `--in`, 1 at `--out`. */
export interface FrameProcessor {
  /** Changes `frame` in place; returns its new length, or a negative number to drop it. */
  process(frame: Uint8Array, length: number, direction: 0 | 1, nowMs: number): number;
}

/** Where an NF tells what it saw: the memory that it shares with the agent. */
export interface NfReport {
  /** From the kernel's receive time to the moment when the frame was handed to the kernel again. */
  readonly buckets: LatencyBuckets;
  /** Indexed by PacketCounter. */
  readonly counters: Float64Array;
  readonly doorbell?: Doorbell;
}

/** Frames taken at once: bounds how long the other direction waits. */
const BATCH = 64;
/** No packet waits that long in a ring. */
const LATENCY_MAX_NS = 60e9;

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
    private readonly report: NfReport,
  ) {}

  /** Forwards what is there, at most a batch; returns the number of frames taken. */
  run(): number {
    const { rx, tx } = this;
    if (!rx.next()) return 0;
    // Whole, so that passing it on does not allocate.
    const nowMs = Math.floor(monotonicNs() / 1e6);
    let taken = 0;
    let sent = 0;
    do {
      if (this.forward(nowMs)) this.arrivalsNs[sent++] = rx.timestampNs();
      rx.release();
      taken++;
    } while (taken < BATCH && rx.next());
    if (sent > 0) tx.kick();
    this.account(taken, sent);
    return taken;
  }

  private account(taken: number, sent: number): void {
    const { buckets, counters, doorbell } = this.report;
    // One look at the clock a batch: the frames left together.
    const leftNs = realtimeNs();
    for (let i = 0; i < sent; i++) {
      const arrivedNs = this.arrivalsNs[i]!;
      const latencyNs = leftNs - arrivedNs;
      // Else the clock was set while it was here: nobody can say.
      if (latencyNs < 0 || latencyNs > LATENCY_MAX_NS) continue;
      buckets.recordPacket(latencyNs, toUnixNs(arrivedNs));
      doorbell?.passed(latencyNs);
    }
    doorbell?.done(leftNs);
    counters[PacketCounter.received] = counters[PacketCounter.received]! + taken;
    counters[PacketCounter.forwarded] = counters[PacketCounter.forwarded]! + sent;
    counters[PacketCounter.dropped] = counters[PacketCounter.dropped]! + taken - sent;
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
      this.countError();
      return false;
    }
    let slot = tx.slot();
    if (slot < 0) {
      tx.kick();
      slot = tx.slot();
      if (slot < 0) {
        this.droppedFull++;
        this.countError();
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

  /** A frame lost by the runtime, not by the function's decision. */
  private countError(): void {
    const { counters } = this.report;
    counters[PacketCounter.errors] = counters[PacketCounter.errors]! + 1;
  }
}

/** A copy between two mappings without making views: `set(subarray())` would allocate for each frame. */
export function copyWords(
  from: Int32Array,
  fromWord: number,
  to: Int32Array,
  toWord: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) to[toWord + i] = from[fromWord + i]!;
}
