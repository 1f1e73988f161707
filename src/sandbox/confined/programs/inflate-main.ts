/**
 * stdin decompressed to stdout, by the format that the first argument names: `gzip` (all of its members) or `zstd`.
 * How much may come out is counted by who reads it.
 */

import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { Decompress } from 'fzstd';
import { COMPLAINT } from '../protocol.js';

/** Node's own where it has one (22.15), which is several times faster. */
function zstd(): Transform {
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
  if (createZstdDecompress !== undefined) return createZstdDecompress();
  const decoder = new Decompress();
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      decoder.ondata = (part) => void this.push(part);
      decoder.push(chunk);
      done();
    },
    flush(done) {
      decoder.ondata = (part) => void this.push(part);
      decoder.push(new Uint8Array(0), true);
      done();
    },
  });
}

const inflater = process.argv[2] === 'zstd' ? zstd() : zlib.createGunzip();
pipeline(process.stdin, inflater, process.stdout).catch((error: NodeJS.ErrnoException) => {
  // Whoever reads has had enough, and says why.
  if (error.code === 'EPIPE') return;
  process.stderr.write(`${COMPLAINT}it is damaged: ${error.message.slice(0, 200)}\n`);
  process.exitCode = 4;
});
