/** zstd frames of blocks that are not compressed, and of runs: all that a test of reading them needs to make. */

const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const BLOCK_MAX = 128 * 1024;
const [RAW, RUN] = [0, 1];

/** `bytes` as they are. */
export function zstdOf(bytes: Buffer): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += BLOCK_MAX) {
    const content = bytes.subarray(at, at + BLOCK_MAX);
    blocks.push(header(RAW, content.length, at + BLOCK_MAX >= bytes.length), content);
  }
  return Buffer.concat([MAGIC, WINDOW, ...blocks]);
}

/** A frame that is to be skipped, of any of 16 kinds. */
export function skippable(kind: number, content: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50 + kind);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
}

/** `head`, then zeros: 128 KiB for every 4 bytes. */
export function zstdBomb(head: Buffer, runs: number): Buffer {
  const zeros = Array.from({ length: runs }, (_, i) =>
    Buffer.concat([header(RUN, BLOCK_MAX, i === runs - 1), Buffer.from([0])]),
  );
  return Buffer.concat([MAGIC, WINDOW, header(RAW, head.length, false), head, ...zeros]);
}

/** No content size, no checksum; a window of 1 MiB. */
const WINDOW = Buffer.from([0, 0x50]);

function header(type: number, size: number, last: boolean): Buffer {
  const bytes = Buffer.alloc(3);
  bytes.writeUIntLE((size << 3) | (type << 1) | (last ? 1 : 0), 0, 3);
  return bytes;
}
