/**
 * The two rings of a TPACKET_V2 socket: slots in memory shared with the kernel, taken in order, without allocation.
 *
 *   slot:  status u32 | len u32 | snaplen u32 | mac u16 net u16 | sec u32 | nsec u32 | tci u16 tpid u16 | ... | frame
 *
 * The status word passes a slot between kernel and user, so it is read first and written last. A slot's frame may
 * only be touched between `next()` and `release()` (receive) or between `slot()` and `commit()` (transmit). Easy to get
 * wrong: a frame is not all of a packet. Its outer VLAN tag stands in the header, and with `offloads` a
 * virtio_net_hdr before the frame says what its sender left to hardware (see virtio-header.ts).
 */

import { REALTIME_BASE_S } from './clock.js';
import { FLAGS_LEFT_TO_HARDWARE, VIRTIO_HEADER_BYTES } from './virtio-header.js';

const STATUS_KERNEL = 0;
const STATUS_USER = 1;
/** The whole frame, longer than its slot, is also the next to be read from the socket. */
const STATUS_COPY = 2;
const STATUS_VLAN_VALID = 16;
/** Since Linux 3.14; an older kernel strips 802.1Q tags only. */
const STATUS_VLAN_TPID_VALID = 64;
const TPID_8021Q = 0x8100;
const STATUS_AVAILABLE = 0;
const STATUS_SEND_REQUEST = 1;
const STATUS_WRONG_FORMAT = 4;

/** Where a frame to send starts in its slot (TPACKET2_HDRLEN without the sockaddr_ll). */
const TX_FRAME_OFFSET = 32;
/** With `offloads`: behind a virtio_net_hdr, and at a multiple of 8 for copies by words. */
const TX_OFFLOAD_FRAME_OFFSET = 48;

export interface RingMemory {
  buffer: ArrayBuffer;
  /** Of the ring in `buffer`. */
  offset: number;
  slots: number;
  /** Header and frame; a multiple of 16. */
  slotBytes: number;
  /** Each frame has a virtio_net_hdr before it. */
  offloads?: boolean;
}

abstract class Ring {
  readonly slots: number;
  readonly slotBytes: number;
  /** The whole mapping in 32-bit words: status words through Atomics, frames by word copies. */
  readonly words: Int32Array;
  protected readonly firstWord: number;
  protected readonly slotWords: number;
  protected head = 0;

  constructor(memory: RingMemory) {
    this.slots = memory.slots;
    this.slotBytes = memory.slotBytes;
    this.words = new Int32Array(memory.buffer);
    this.firstWord = memory.offset / 4;
    this.slotWords = memory.slotBytes / 4;
  }

  protected advance(): void {
    this.head = this.head + 1 === this.slots ? 0 : this.head + 1;
  }
}

export class RxRing extends Ring {
  /** One view a slot, over the whole slot: the frame is at `offset`, `length` bytes. */
  readonly views: readonly Uint8Array[];
  /** The frame that `next()` found: its slot, where it starts in `views[slot]`, and how much of it was kept. */
  slot = -1;
  offset = 0;
  length = 0;
  /** Length on the wire: larger than `length` if the slot was too small. */
  wireLength = 0;
  /** The kernel's receive time, as it stands in the header. */
  seconds = 0;
  nanoseconds = 0;
  /** The sender left a checksum or the cutting into segments to hardware: the virtio_net_hdr before the frame says what. */
  unfinished = false;
  private status = 0;
  private readonly offloads: boolean;
  private readonly halves: Uint16Array;

  constructor(memory: RingMemory) {
    super(memory);
    this.offloads = memory.offloads === true;
    this.halves = new Uint16Array(memory.buffer);
    this.views = Array.from(
      { length: memory.slots },
      (_, i) => new Uint8Array(memory.buffer, memory.offset + i * memory.slotBytes, memory.slotBytes),
    );
  }

  /** Looks at the next received frame; false if there is none. Give it back with `release()`. */
  next(): boolean {
    const word = this.firstWord + this.head * this.slotWords;
    const status = Atomics.load(this.words, word);
    if ((status & STATUS_USER) === 0) return false;
    this.status = status;
    this.slot = this.head;
    this.wireLength = this.words[word + 1]!;
    this.length = this.words[word + 2]!;
    this.offset = this.halves[(word + 3) * 2]!;
    this.seconds = this.words[word + 4]! >>> 0;
    this.nanoseconds = this.words[word + 5]!;
    this.unfinished =
      this.offloads &&
      (this.halves[word * 2 + ((this.offset - VIRTIO_HEADER_BYTES) >>> 1)]! & FLAGS_LEFT_TO_HARDWARE) !== 0;
    return true;
  }

  /** The kernel took the outer VLAN tag out of the frame that `next()` found. */
  get tagged(): boolean {
    return (this.status & STATUS_VLAN_VALID) !== 0;
  }

  /** That tag as it stands in `words` behind the MAC addresses: TPID and TCI, both big-endian. */
  get tagWord(): number {
    const at = (this.firstWord + this.head * this.slotWords + 6) * 2;
    const tpid = (this.status & STATUS_VLAN_TPID_VALID) === 0 ? TPID_8021Q : this.halves[at + 1]!;
    return swap16(tpid) | (swap16(this.halves[at]!) << 16);
  }

  /** The slot is too small for the frame, which must be read whole from the socket before the next of its kind. */
  get copied(): boolean {
    return (this.status & STATUS_COPY) !== 0;
  }

  /** Index in `words` of the frame's first byte; exact because the socket asks for frames at a multiple of 4. */
  frameWord(): number {
    return this.firstWord + this.slot * this.slotWords + (this.offset >>> 2);
  }

  /** The kernel's receive time on the scale of `realtimeNs()`. */
  timestampNs(): number {
    return (this.seconds - REALTIME_BASE_S) * 1e9 + this.nanoseconds;
  }

  /** Gives the slot of the last `next()` back to the kernel. */
  release(): void {
    Atomics.store(this.words, this.firstWord + this.head * this.slotWords, STATUS_KERNEL);
    this.advance();
  }
}

export class TxRing extends Ring {
  /** One view a slot, over the frame only. */
  readonly frames: readonly Uint8Array[];
  /** Longest frame that a slot holds. */
  readonly frameBytes: number;
  /** Frames committed so far, and frames that the kernel refused as malformed. */
  committed = 0;
  refused = 0;
  /** Status word of the slot committed last; -1 when everything committed has been handed over. */
  private lastWord = -1;
  private readonly frameOffset: number;
  /** Of what the kernel counts as the frame, before the frame. */
  private readonly headerBytes: number;

  constructor(
    memory: RingMemory,
    private readonly handOver: () => void,
  ) {
    super(memory);
    const { buffer, offset, slots, slotBytes, offloads } = memory;
    this.frameOffset = offloads ? TX_OFFLOAD_FRAME_OFFSET : TX_FRAME_OFFSET;
    this.headerBytes = offloads ? VIRTIO_HEADER_BYTES : 0;
    this.frameBytes = slotBytes - this.frameOffset;
    this.frames = Array.from(
      { length: slots },
      (_, i) => new Uint8Array(buffer, offset + i * slotBytes + this.frameOffset, this.frameBytes),
    );
    if (!offloads) return;
    // Where the virtio_net_hdr stands, which stays all zeros: nothing that is sent is left to hardware.
    const halves = new Uint16Array(buffer);
    for (let slot = 0; slot < slots; slot++) {
      halves[(this.firstWord + slot * this.slotWords + 3) * 2] = this.frameOffset - this.headerBytes;
    }
  }

  /** The slot to fill next, -1 if the ring is full. Asking again without `commit` gives the same slot. */
  slot(): number {
    const word = this.firstWord + this.head * this.slotWords;
    const status = Atomics.load(this.words, word);
    if (status === STATUS_AVAILABLE) return this.head;
    if (status !== STATUS_WRONG_FORMAT) return -1;
    this.refused++;
    Atomics.store(this.words, word, STATUS_AVAILABLE);
    return this.head;
  }

  /** Index in `words` of the first byte of the frame in that slot. */
  frameWord(slot: number): number {
    return this.firstWord + slot * this.slotWords + (this.frameOffset >>> 2);
  }

  /** Queues the slot of the last `slot()` with a frame of `length` bytes; `kick()` sends what is queued. */
  commit(length: number): void {
    const word = this.firstWord + this.head * this.slotWords;
    this.words[word + 1] = length + this.headerBytes;
    Atomics.store(this.words, word, STATUS_SEND_REQUEST);
    this.lastWord = word;
    this.committed++;
    this.advance();
  }

  /** Sends what is queued, in one call; without anything queued, none. False: the kernel is full, kick again later. */
  kick(): boolean {
    if (this.lastWord === -1) return true;
    this.handOver();
    if (Atomics.load(this.words, this.lastWord) === STATUS_SEND_REQUEST) return false;
    this.lastWord = -1;
    return true;
  }
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}
