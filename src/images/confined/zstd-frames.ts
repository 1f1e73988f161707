/**
 * Where the frames of zstd end (RFC 8878, 3.1). Node's own decompressor takes what follows a frame in the same write for
 * nothing (seen up to 26.5, nodejs/node#64741): it gets no more than one frame at once.
 */

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAGIC_BYTES = 4;
const SKIPPABLE_SIZE_BYTES = 4;
const BLOCK_HEAD_BYTES = 3;
const CHECKSUM_BYTES = 4;
/** Blocks of one byte that is repeated, and of a kind that nobody has defined. */
const [RUN, RESERVED] = [1, 3];
const SINGLE_SEGMENT = 0x20;
const HAS_CHECKSUM = 0x04;
/** By the two bits that tell them. */
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;
const SIZE_BYTES = [0, 2, 4, 8] as const;

/** A frame that has nothing to decompress begins with any of 16 numbers. */
export function beginsSkippable(magic: number): boolean {
  return (magic & ~15) === SKIPPABLE_MAGIC;
}

/** What comes, in parts of which none reaches beyond its frame, without what is to be skipped. */
export async function* inFrames(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const frames = new Frames();
  for await (const chunk of chunks) yield* frames.split(chunk);
  if (!frames.complete) throw new Error('it ends in the middle of a frame');
}

class Frames {
  private head = Buffer.alloc(0);
  private headBytes = MAGIC_BYTES;
  private read = this.readMagic;
  /** Content that nobody looks at, before the next head or the end. */
  private left = 0;
  private last = false;
  private inside = false;
  private checksumBytes = 0;

  get complete(): boolean {
    return this.read === this.readMagic && this.head.length === 0;
  }

  split(chunk: Buffer): Buffer[] {
    const parts: Buffer[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length; ) {
      const { inside, head } = this;
      const wanted = this.left > 0 ? this.left : this.headBytes - head.length;
      const taken = Math.min(wanted, chunk.length - at);
      at += taken;
      if (this.left > 0) this.left -= taken;
      else {
        this.head = Buffer.concat([head, chunk.subarray(at - taken, at)]);
        if (taken < wanted) break;
        const whole = this.head;
        this.head = Buffer.alloc(0);
        this.read(whole);
        if (this.inside && !inside) {
          // What an earlier chunk had of it was kept until it was known.
          if (head.length > 0) parts.push(head);
          from = at - taken;
        }
      }
      if (!this.last || this.left > 0) continue;
      if (this.inside) parts.push(chunk.subarray(from, at));
      this.expect(MAGIC_BYTES, this.readMagic);
      this.last = false;
      this.inside = false;
    }
    if (this.inside) parts.push(chunk.subarray(from));
    return parts;
  }

  private expect(bytes: number, read: (head: Buffer) => void): void {
    this.headBytes = bytes;
    this.read = read;
  }

  private readMagic(head: Buffer): void {
    const magic = head.readUInt32LE();
    if (beginsSkippable(magic)) this.expect(SKIPPABLE_SIZE_BYTES, this.readSkippable);
    else if (magic === MAGIC) {
      this.inside = true;
      this.expect(1, this.readDescriptor);
    } else throw new Error('what follows a frame is none');
  }

  private readSkippable(head: Buffer): void {
    this.left = head.readUInt32LE();
    this.last = true;
  }

  private readDescriptor(head: Buffer): void {
    const flags = head[0]!;
    const single = (flags & SINGLE_SEGMENT) !== 0;
    this.checksumBytes = (flags & HAS_CHECKSUM) === 0 ? 0 : CHECKSUM_BYTES;
    const sizeBytes = SIZE_BYTES[(flags >> 6) as 0] || (single ? 1 : 0);
    // With the size of its window, where its content has none.
    this.left = (single ? 0 : 1) + DICTIONARY_BYTES[(flags & 3) as 0] + sizeBytes;
    this.expect(BLOCK_HEAD_BYTES, this.readBlock);
  }

  private readBlock(head: Buffer): void {
    const bits = head.readUIntLE(0, BLOCK_HEAD_BYTES);
    const type = (bits >> 1) & 3;
    if (type === RESERVED) throw new Error('it has a block of an unknown kind');
    this.last = (bits & 1) === 1;
    this.left = (type === RUN ? 1 : bits >> 3) + (this.last ? this.checksumBytes : 0);
  }
}
