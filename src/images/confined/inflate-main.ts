/**
 * stdin decompressed to stdout, by the format that the first argument names: `gzip` (all of its members) or `zstd`.
 * How much may come out is counted by who reads it.
 */

import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { Decompress } from 'fzstd';
import { COMPLAINT } from '../../confinement/confined/protocol.js';
import { inFrames } from './zstd-frames.js';

/** Four bytes may stand for 128 KiB: whatever comes at once is decompressed in parts, each when the one before is taken. */
const PART_BYTES = 512;

async function* inZstdParts(chunks: AsyncIterable<Buffer>): AsyncGenerator<Uint8Array> {
  const decoder = new Decompress();
  let parts: Uint8Array[] = [];
  decoder.ondata = (part) => void parts.push(part);
  const push = (bytes: Uint8Array, last: boolean): Uint8Array[] => {
    parts = [];
    decoder.push(bytes, last);
    return parts;
  };
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += PART_BYTES)
      yield* push(chunk.subarray(at, at + PART_BYTES), false);
  }
  yield* push(new Uint8Array(0), true);
}

/** Node's own where it has one (22.15), which is several times faster. */
function inflateZstd(): Promise<void> {
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
  return createZstdDecompress === undefined
    ? pipeline(process.stdin, inFrames, inZstdParts, process.stdout)
    : pipeline(process.stdin, inFrames, createZstdDecompress(), process.stdout);
}

const inflating =
  process.argv[2] === 'zstd' ? inflateZstd() : pipeline(process.stdin, zlib.createGunzip(), process.stdout);
inflating.catch((error: NodeJS.ErrnoException) => {
  // Whoever reads has had enough, and says why.
  if (error.code === 'EPIPE') return;
  process.stderr.write(`${COMPLAINT}it is damaged: ${error.message.slice(0, 200)}\n`);
  process.exitCode = 4;
});
