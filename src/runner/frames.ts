/**
 * Frames between agent and runner over a pair of pipes or a socket. A body is raw bytes, never re-encoded.
 *
 *   u32 bodyBytes | u32 metaBytes | u32 callId | u8 type | u8 kind | u16 status | u32 timeMs | meta | body
 *
 * Little endian. Runs on both sides, so it imports nothing but node built-ins, and it calls no method that a
 * function could have replaced on a prototype: what it needs is captured before any function code is loaded.
 */

import { Buffer } from 'node:buffer';

export const HEADER_BYTES = 20;
/** Headers of a call, an error's stack, the environment of a function: all far below. */
export const META_MAX_BYTES = 256 * 1024;
/** Above the 6 MB that the gateway lets in. A longer length is a broken or hostile peer. */
export const BODY_MAX_BYTES = 8 * 1024 * 1024;
/** Above this the receiver is asked whether it wants the frame, before it has any room for it. */
const SMALL_BYTES = 64 * 1024;

export const FrameType = {
  // agent -> runner
  load: 1,
  call: 2,
  /** A function that was loaded is not wanted any more: another may be loaded. */
  forget: 3,
  /** Of runners that hold several functions, each under the number (callId) of its load: calls are of this one now. */
  select: 4,
  /** It is about to become a snapshot: a stem does ahead what every function will need. Answered by `ready`. */
  settle: 5,
  /** It goes on from a snapshot that was made when its function was loaded. Answered by `loaded`. */
  wake: 6,
  /** Nobody reads this call's answer any more: a stream ends with the chunk that it makes next. */
  cancel: 7,
  // runner -> agent
  ready: 16,
  loaded: 17,
  loadFailed: 18,
  /** A whole answer. */
  reply: 19,
  /** A streamed answer: head, chunks, end. */
  head: 20,
  chunk: 21,
  end: 22,
  error: 23,
  /** Of no call: text that the function printed (kind 1 stdout, 2 stderr), and its memory in KiB (timeMs). */
  log: 24,
  memory: 25,
  /** The runner does not have the code of this path: load it once more, with the code. */
  wanted: 26,
  /** What was to be forgotten is, with all that it took. */
  forgotten: 27,
  /** It is about to end: of the calls, those up to number `timeMs` have begun, and it takes no more. */
  ending: 28,
} as const;

/** Kind of `loaded`: what a call leaves in the function is there for the next one, as long as it stays loaded. */
export const KEEPS_INSTANCE = 1;

/** What the body of a `reply` is: saves the content type as text on the common path. */
export const BodyKind = { none: 0, text: 1, json: 2, bytes: 3 } as const;

// biome-ignore lint/suspicious/noExplicitAny: the receiver's type is each caller's business
const uncurry = (method: any): any => Function.prototype.call.bind(method);
const prototype = Buffer.prototype as unknown as { utf8Write: unknown; utf8Slice: unknown };
const writeUtf8 = uncurry(prototype.utf8Write) as (to: Buffer, text: string, at: number) => number;
const readUtf8 = uncurry(prototype.utf8Slice) as (from: Buffer, start: number, end: number) => string;
const subarray = uncurry(Uint8Array.prototype.subarray) as (of: Buffer, start: number, end: number) => Buffer;
const copyInto = uncurry(Uint8Array.prototype.set) as (to: Buffer, from: Uint8Array, at: number) => void;
const allocate = Buffer.allocUnsafeSlow;
const byteLength = Buffer.byteLength;
const fromText = Buffer.from as (text: string) => Buffer;

export const EMPTY: Buffer = allocate(0);

export function utf8(bytes: Buffer): string {
  return readUtf8(bytes, 0, bytes.length);
}

function putU32(to: Buffer, at: number, value: number): void {
  to[at] = value;
  to[at + 1] = value >>> 8;
  to[at + 2] = value >>> 16;
  to[at + 3] = value >>> 24;
}

function u32(from: Buffer, at: number): number {
  return (from[at]! | (from[at + 1]! << 8) | (from[at + 2]! << 16) | (from[at + 3]! << 24)) >>> 0;
}

/** The peer sent what no correct peer sends. The connection is of no more use. */
export class FrameError extends Error {}

/** Fields of the frame at hand; one object for all frames of a decoder, valid inside `onFrame` only. */
export interface FrameHeader {
  type: number;
  kind: number;
  status: number;
  callId: number;
  timeMs: number;
}

export type OnFrame = (header: FrameHeader, meta: Buffer, body: Buffer) => void;

/** How long a frame with this header may be, meta and body together. */
export type MaxBytesOf = (header: FrameHeader) => number;
const anyLength: MaxBytesOf = () => META_MAX_BYTES + BODY_MAX_BYTES;

/** Cuts a byte stream into frames. Each byte is copied at most once, and not at all when a read holds the frame. */
export class FrameDecoder {
  private readonly header: FrameHeader = { type: 0, kind: 0, status: 0, callId: 0, timeMs: 0 };
  private readonly partialHeader = allocate(HEADER_BYTES);
  private headerFilled = 0;
  private payload: Buffer | undefined;
  private payloadFilled = 0;
  private metaBytes = 0;
  private bodyBytes = 0;

  constructor(
    private readonly onFrame: OnFrame,
    private readonly maxBytesOf: MaxBytesOf = anyLength,
  ) {}

  /** Throws FrameError on a length above the bounds; the decoder must not be used after that. */
  push(bytes: Buffer): void {
    const length = bytes.length;
    let at = 0;
    while (at < length) {
      if (this.payload === undefined) {
        if (this.headerFilled === 0 && length - at >= HEADER_BYTES) {
          this.parse(bytes, at);
          at += HEADER_BYTES;
        } else {
          const taken = Math.min(HEADER_BYTES - this.headerFilled, length - at);
          copyInto(this.partialHeader, subarray(bytes, at, at + taken), this.headerFilled);
          this.headerFilled += taken;
          at += taken;
          if (this.headerFilled < HEADER_BYTES) return;
          this.headerFilled = 0;
          this.parse(this.partialHeader, 0);
        }
        const wanted = this.metaBytes + this.bodyBytes;
        if (length - at >= wanted) {
          this.emit(bytes, at);
          at += wanted;
        } else {
          this.payload = allocate(wanted);
          this.payloadFilled = 0;
        }
      } else {
        const payload = this.payload;
        const taken = Math.min(payload.length - this.payloadFilled, length - at);
        copyInto(payload, subarray(bytes, at, at + taken), this.payloadFilled);
        this.payloadFilled += taken;
        at += taken;
        if (this.payloadFilled === payload.length) {
          this.payload = undefined;
          this.emit(payload, 0);
        }
      }
    }
  }

  private parse(from: Buffer, at: number): void {
    this.bodyBytes = u32(from, at);
    this.metaBytes = u32(from, at + 4);
    const header = this.header;
    header.callId = u32(from, at + 8);
    header.type = from[at + 12]!;
    header.kind = from[at + 13]!;
    header.status = from[at + 14]! | (from[at + 15]! << 8);
    header.timeMs = u32(from, at + 16);
    const bytes = this.bodyBytes + this.metaBytes;
    if (
      this.bodyBytes > BODY_MAX_BYTES ||
      this.metaBytes > META_MAX_BYTES ||
      (bytes > SMALL_BYTES && bytes > this.maxBytesOf(header))
    ) {
      throw new FrameError(`a frame claims ${this.metaBytes} + ${this.bodyBytes} bytes`);
    }
  }

  private emit(from: Buffer, at: number): void {
    const split = at + this.metaBytes;
    const meta = this.metaBytes === 0 ? EMPTY : subarray(from, at, split);
    const body = this.bodyBytes === 0 ? EMPTY : subarray(from, split, split + this.bodyBytes);
    this.onFrame(this.header, meta, body);
  }
}

const SLAB_BYTES = 64 * 1024;
/** Larger payloads are written from where they lie. */
const COPY_MAX_BYTES = 16 * 1024;

/**
 * Packs frames into slabs, so that many small ones leave in one write. `write` gets bytes that nobody changes
 * afterwards (a slab is filled once and never reused) and returns false when the socket's buffer is full.
 */
export class FrameWriter {
  private slab = allocate(SLAB_BYTES);
  private start = 0;
  private end = 0;
  /** Of all frames so far. */
  bytes = 0;

  constructor(private readonly write: (bytes: Uint8Array) => boolean) {}

  /** Adds a frame; `flush` sends it. `meta` is JSON text or ''. Throws RangeError above the bounds. */
  add(
    type: number,
    kind: number,
    status: number,
    callId: number,
    timeMs: number,
    meta: string,
    body: Uint8Array | string,
  ): void {
    const text = typeof body === 'string';
    const bodyBytes = text ? byteLength(body) : body.byteLength;
    const metaBytes = meta === '' ? 0 : byteLength(meta);
    if (bodyBytes > BODY_MAX_BYTES) throw new RangeError(`a body of ${bodyBytes} bytes`);
    if (metaBytes > META_MAX_BYTES) throw new RangeError(`headers of ${metaBytes} bytes`);
    this.bytes += HEADER_BYTES + metaBytes + bodyBytes;
    const copied = bodyBytes <= COPY_MAX_BYTES;
    const wanted = HEADER_BYTES + (metaBytes <= COPY_MAX_BYTES ? metaBytes : 0) + (copied ? bodyBytes : 0);
    if (this.end + wanted > SLAB_BYTES) {
      this.flush();
      this.slab = allocate(SLAB_BYTES);
      this.start = 0;
      this.end = 0;
    }
    const { slab } = this;
    const at = this.end;
    putU32(slab, at, bodyBytes);
    putU32(slab, at + 4, metaBytes);
    putU32(slab, at + 8, callId);
    slab[at + 12] = type;
    slab[at + 13] = kind;
    slab[at + 14] = status;
    slab[at + 15] = status >>> 8;
    putU32(slab, at + 16, timeMs);
    this.end = at + HEADER_BYTES;
    if (metaBytes > COPY_MAX_BYTES) {
      this.flush();
      this.write(fromText(meta));
    } else if (metaBytes > 0) this.end += writeUtf8(slab, meta, this.end);
    if (!copied) {
      this.flush();
      this.write(text ? fromText(body) : body);
    } else if (bodyBytes > 0) {
      if (text) writeUtf8(slab, body, this.end);
      else copyInto(slab, body, this.end);
      this.end += bodyBytes;
    }
  }

  /** Sends what was added. False if the peer reads too slowly. */
  flush(): boolean {
    if (this.start === this.end) return true;
    const bytes = subarray(this.slab, this.start, this.end);
    this.start = this.end;
    return this.write(bytes);
  }
}
