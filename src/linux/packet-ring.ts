/**
 * The two rings of a TPACKET_V2 socket: slots in memory shared with the kernel, taken in order, without allocation.
 *
 *   slot:  status u32 | len u32 | snaplen u32 | mac u16 net u16 | sec u32 | nsec u32 | ... | frame
 *
 * The status word passes a slot between kernel and user, so it is read first and written last. A slot's frame may
 * only be touched between `next()` and `release()` (receive) or between `slot()` and `commit()` (transmit).
 */

import { REALTIME_BASE_S } from './clock.js';

const STATUS_KERNEL = 0;
const STATUS_USER = 1;
const STATUS_AVAILABLE = 0;
const STATUS_SEND_REQUEST = 1;
const STATUS_WRONG_FORMAT = 4;

/** Where a frame to send starts in its slot (TPACKET2_HDRLEN without the sockaddr_ll). */
export const TX_FRAME_OFFSET = 32;

export interface RingMemory {
  buffer: ArrayBuffer;
  /** Of the ring in `buffer`. */
  offset: number;
  slots: number;
  /** Header and frame; a multiple of 16. */
  slotBytes: number;
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
  private readonly halves: Uint16Array;

  constructor(memory: RingMemory) {
    super(memory);
    this.halves = new Uint16Array(memory.buffer);
    this.views = Array.from(
      { length: memory.slots },
      (_, i) => new Uint8Array(memory.buffer, memory.offset + i * memory.slotBytes, memory.slotBytes),
    );
  }

  /** Looks at the next received frame; false if there is none. Give it back with `release()`. */
  next(): boolean {
    const word = this.firstWord + this.head * this.slotWords;
    if ((Atomics.load(this.words, word) & STATUS_USER) === 0) return false;
    this.slot = this.head;
    this.wireLength = this.words[word + 1]!;
    this.length = this.words[word + 2]!;
    this.offset = this.halves[(word + 3) * 2]!;
    this.seconds = this.words[word + 4]! >>> 0;
    this.nanoseconds = this.words[word + 5]!;
    return true;
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

  constructor(
    memory: RingMemory,
    private readonly handOver: () => void,
  ) {
    super(memory);
    this.frameBytes = memory.slotBytes - TX_FRAME_OFFSET;
    this.frames = Array.from(
      { length: memory.slots },
      (_, i) =>
        new Uint8Array(
          memory.buffer,
          memory.offset + i * memory.slotBytes + TX_FRAME_OFFSET,
          memory.slotBytes - TX_FRAME_OFFSET,
        ),
    );
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
    return this.firstWord + slot * this.slotWords + TX_FRAME_OFFSET / 4;
  }

  /** Queues the slot of the last `slot()` with a frame of `length` bytes; `kick()` sends what is queued. */
  commit(length: number): void {
    const word = this.firstWord + this.head * this.slotWords;
    this.words[word + 1] = length;
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
