/**
 * Memory that was read and is handed on in parts, given back when the last part has been sent. Otherwise it waits for
 * a garbage collection, which newer versions of V8 do for such memory only when 64 MB of it have gathered.
 */

import type { GiveBack } from '../model/reply-sink.js';

/** What is smaller costs more to give back than to leave. */
const BYTES_MIN = 4 * 1024;

class Lent {
  /** Whoever lends is one of them. */
  private users = 1;

  constructor(private readonly bytes: Buffer) {}

  lend(): void {
    this.users++;
  }

  /** A write's callback, too. After an error nobody knows who still reads it: it is left to the garbage collection. */
  readonly back: GiveBack = (error) => {
    if (!error && --this.users === 0) giveBack(this.bytes);
  };
}

/** What a socket reads, one read after the other. */
export class LentRead {
  private bytes: Buffer | undefined;
  private kept = false;
  private lent: Lent | undefined;

  begin(bytes: Buffer): void {
    this.bytes = bytes;
    this.kept = false;
    this.lent = undefined;
  }

  /** Parts of this read stay in use for an unknown time. */
  keep(): void {
    this.kept = true;
  }

  /** `chunk` is a part of this read, or has memory of its own. Returns what is to be called when it is not needed any more. */
  lend(chunk: Buffer): GiveBack {
    if (chunk.buffer !== this.bytes?.buffer) return new Lent(chunk).back;
    this.lent ??= new Lent(this.bytes);
    this.lent.lend();
    return this.lent.back;
  }

  /** Whatever comes of this read has been lent or copied. */
  end(): void {
    const { bytes, kept, lent } = this;
    this.bytes = undefined;
    if (kept || bytes === undefined) return;
    if (lent === undefined) giveBack(bytes);
    else lent.back();
  }
}

/** The bytes must not be used again. Leaves a buffer that shares its memory with others as it is. */
function giveBack(bytes: Buffer): void {
  const memory = bytes.buffer as ArrayBuffer & { transfer?(length: number): ArrayBuffer };
  if (bytes.length < BYTES_MIN || memory.byteLength !== bytes.length) return;
  // Node 20 has no such method; its V8 collects early enough.
  memory.transfer?.(0);
}
