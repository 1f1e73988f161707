/**
 * One direction of an NF: frames from a receive ring, through the function, into a transmit ring. The function works
 * on the copy that will be sent, so a frame is touched once, and sees it as it is on a wire: with its outer VLAN tag, its
 * checksum, and cut into segments. When the transmit ring is full the frame is dropped and counted: waiting would hold
 * up the other direction. A long frame counts as the segments that it is.
 */

import { monotonicNs, realtimeNs, toUnixNs } from '../linux/clock.js';
import type { RxRing, TxRing } from '../linux/packet-ring.js';
import { GSO_NONE, VIRTIO_HEADER_BYTES, VirtioHeader } from '../linux/virtio-header.js';
import type { LatencyBuckets } from '../model/latency-buckets.js';
import { NF_RUNTIME } from '../tunables/index.js';
import type { Doorbell } from './doorbell.js';
import { isVlan, readU16 } from './headers.js';
import { copyBytes, finishChecksum, Segments, writeTag } from './offloads.js';
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

/** What carries frames that no slot holds; see PacketSocket. Without it they are dropped. */
export interface LongFrames {
  readLong(into: Uint8Array): number;
  sendLong(frame: Uint8Array, length: number): boolean;
  /** Of the interface that frames leave by. */
  mtu(): number;
}

/** Frames taken at once: bounds how long the other direction waits. */
const BATCH = 64;
/** Addresses and type: what an interface carries beside its MTU, and beside VLAN tags. */
const LINK_BYTES = 14;
/** Instead of a slot: the frame goes the long way, or nowhere. */
const LONG = -1;
const NO_ROOM = -2;
/** No packet waits that long in a ring. */
const LATENCY_MAX_NS = 60e9;

export class Forwarder {
  forwarded = 0;
  droppedByFunction = 0;
  /** No free slot to send from. */
  droppedFull = 0;
  /** Longer than the outgoing interface carries, or than was received of it. */
  droppedTooLong = 0;
  private readonly arrivalsNs = new Float64Array(BATCH);
  /** Segments that left of what arrived then. */
  private readonly segmentsSent = new Uint16Array(BATCH);
  private readonly left = new VirtioHeader();
  private readonly segments = new Segments();
  private readonly received: Uint8Array;
  private readonly long: Uint8Array;
  /** Longest frame without a tag that the outgoing interface carries, as it was when last asked. */
  private frameMax: number;
  /** Packets on the wire that `rx` held in this batch. */
  private packets = 0;

  constructor(
    private readonly rx: RxRing,
    private readonly tx: TxRing,
    private readonly fn: FrameProcessor,
    private readonly direction: 0 | 1,
    private readonly report: NfReport,
    private readonly longFrames?: LongFrames,
  ) {
    const bytes = longFrames === undefined ? 0 : NF_RUNTIME.longFrameBytes;
    this.received = new Uint8Array(bytes);
    this.long = new Uint8Array(bytes);
    this.frameMax = longFrames === undefined ? tx.frameBytes : longFrames.mtu() + LINK_BYTES;
  }

  /** Forwards what is there, at most a batch; returns the number of frames taken. */
  run(): number {
    const { rx, tx } = this;
    if (!rx.next()) return 0;
    // Whole, so that passing it on does not allocate.
    const nowMs = Math.floor(monotonicNs() / 1e6);
    let taken = 0;
    let arrivals = 0;
    this.packets = 0;
    do {
      const sent = this.forward(nowMs);
      if (sent > 0) {
        this.arrivalsNs[arrivals] = rx.timestampNs();
        this.segmentsSent[arrivals++] = sent;
      }
      rx.release();
      taken++;
    } while (taken < BATCH && this.packets < BATCH && rx.next());
    if (arrivals > 0) tx.kick();
    this.account(arrivals);
    return taken;
  }

  private account(arrivals: number): void {
    const { buckets, counters, doorbell } = this.report;
    // One look at the clock a batch: the frames left together.
    const leftNs = realtimeNs();
    let sent = 0;
    for (let i = 0; i < arrivals; i++) {
      const arrivedNs = this.arrivalsNs[i]!;
      const latencyNs = leftNs - arrivedNs;
      const count = this.segmentsSent[i]!;
      sent += count;
      // Else the clock was set while it was here: nobody can say.
      if (latencyNs < 0 || latencyNs > LATENCY_MAX_NS) continue;
      const arrivedUnixNs = toUnixNs(arrivedNs);
      for (let n = 0; n < count; n++) {
        buckets.recordPacket(latencyNs, arrivedUnixNs);
        doorbell?.passed(latencyNs);
      }
    }
    doorbell?.done(leftNs);
    counters[PacketCounter.received] = counters[PacketCounter.received]! + this.packets;
    counters[PacketCounter.forwarded] = counters[PacketCounter.forwarded]! + sent;
    counters[PacketCounter.dropped] = counters[PacketCounter.dropped]! + this.packets - sent;
  }

  /** Sends what the kernel did not take earlier. False: there is still some. */
  flush(): boolean {
    return this.tx.kick();
  }

  /** Returns how many packets of it were sent: 0 or 1, or the segments of a long frame. */
  private forward(nowMs: number): number {
    const { rx, tx } = this;
    const length = rx.length;
    const { tagged, unfinished } = rx;
    if (rx.wireLength > length || unfinished || length + 4 > tx.frameBytes)
      return this.forwardUnfinished(nowMs);
    this.packets++;
    const total = tagged ? length + 4 : length;
    const slot = this.slot();
    if (slot < 0) return this.dropFull();
    const from = rx.frameWord();
    const to = tx.frameWord(slot);
    if (tagged) {
      copyWords(rx.words, from, tx.words, to, 3);
      tx.words[to + 3] = rx.tagWord;
      copyWords(rx.words, from + 3, tx.words, to + 4, (length - 9) >>> 2);
    } else copyWords(rx.words, from, tx.words, to, (length + 3) >>> 2);
    return this.process(slot, total, nowMs);
  }

  /** A frame that the ring does not hold as it is on a wire. */
  private forwardUnfinished(nowMs: number): number {
    const { rx, left } = this;
    let bytes = rx.views[rx.slot]!;
    let start = rx.offset;
    let length = rx.length;
    if (rx.wireLength > length) {
      // It is not in the slot, but there to be read: also if it is then dropped.
      const read = rx.copied && this.longFrames !== undefined ? this.longFrames.readLong(this.received) : 0;
      if (read <= VIRTIO_HEADER_BYTES || read > this.received.length) {
        this.packets++;
        return this.dropTooLong();
      }
      bytes = this.received;
      start = VIRTIO_HEADER_BYTES;
      length = read - start;
    }
    if (this.longFrames === undefined) {
      this.packets++;
      return this.dropTooLong();
    }
    left.read(bytes, start - VIRTIO_HEADER_BYTES);
    if (left.gsoType !== GSO_NONE) return this.forwardSegments(bytes, start, length, nowMs);
    this.packets++;
    const { tagged } = rx;
    const shift = tagged ? 4 : 0;
    const total = length + shift;
    const slot = this.room(total);
    if (slot === NO_ROOM) return 0;
    const frame = slot === LONG ? this.long : this.tx.frames[slot]!;
    copyBytes(bytes, start, frame, 0, 12);
    if (tagged) writeTag(frame, rx.tagWord);
    copyBytes(bytes, start + 12, frame, 12 + shift, length - 12);
    if (left.needsChecksum) finishChecksum(frame, total, left.checksumStart + shift, left.checksumOffset);
    return this.process(slot, total, nowMs);
  }

  private forwardSegments(bytes: Uint8Array, start: number, length: number, nowMs: number): number {
    const { rx, segments } = this;
    if (!segments.begin(bytes, start, start + length, this.left)) {
      this.packets++;
      return this.dropTooLong();
    }
    const { tagged } = rx;
    const tagWord = tagged ? rx.tagWord : 0;
    let sent = 0;
    this.packets += segments.count;
    for (let i = 0; i < segments.count; i++) {
      const slot = this.room(segments.lengthOf(i) + (tagged ? 4 : 0));
      if (slot === NO_ROOM) continue;
      const frame = slot === LONG ? this.long : this.tx.frames[slot]!;
      sent += this.process(slot, segments.write(i, frame, tagged, tagWord), nowMs);
    }
    return sent;
  }

  /** Hands the frame in the slot to the function, and what that makes of it to the kernel. */
  private process(slot: number, length: number, nowMs: number): number {
    const frame = slot === LONG ? this.long : this.tx.frames[slot]!;
    const newLength = this.fn.process(frame, length, this.direction, nowMs);
    if (newLength < 0) {
      this.droppedByFunction++;
      return 0;
    }
    if (newLength > this.frameMax && !this.carries(frame, newLength)) return this.dropTooLong();
    if (slot !== LONG) this.tx.commit(newLength);
    else if (!this.longFrames!.sendLong(frame, newLength)) return this.dropFull();
    this.forwarded++;
    return 1;
  }

  /** Where a frame of that length goes: a slot, LONG, or NO_ROOM once it is counted as dropped. */
  private room(length: number): number {
    if (length > this.tx.frameBytes) return LONG;
    const slot = this.slot();
    if (slot >= 0) return slot;
    this.dropFull();
    return NO_ROOM;
  }

  private slot(): number {
    const { tx } = this;
    const slot = tx.slot();
    if (slot >= 0) return slot;
    tx.kick();
    return tx.slot();
  }

  /** Tags do not count, and the MTU may have been raised since it was asked for. */
  private carries(frame: Uint8Array, length: number): boolean {
    const bare = length - tagBytes(frame);
    if (bare > this.frameMax && this.longFrames !== undefined)
      this.frameMax = this.longFrames.mtu() + LINK_BYTES;
    return bare <= this.frameMax;
  }

  private dropTooLong(): number {
    this.droppedTooLong++;
    this.countError();
    return 0;
  }

  private dropFull(): number {
    this.droppedFull++;
    this.countError();
    return 0;
  }

  /** A frame lost by the runtime, not by the function's decision. */
  private countError(): void {
    const { counters } = this.report;
    counters[PacketCounter.errors] = counters[PacketCounter.errors]! + 1;
  }
}

function tagBytes(frame: Uint8Array): number {
  if (!isVlan(readU16(frame, 12))) return 0;
  return isVlan(readU16(frame, 16)) ? 8 : 4;
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
