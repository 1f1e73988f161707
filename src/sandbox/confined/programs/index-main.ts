/**
 * Where the files of a tar lie in it: stdin is the tar itself, a regular file. Prints `[name, offset, size]` of each as
 * JSON. Nothing is unpacked, contents are not even read.
 */

import { fstatSync, readSync } from 'node:fs';
import { Header, Pax } from 'tar';
import { OCI } from '../../../tunables.js';
import { COMPLAINT, STARTED } from '../protocol.js';

const BLOCK = 512;
const TAR = 0;

function index(): Array<[name: string, offset: number, size: number]> {
  const files: Array<[string, number, number]> = [];
  const { size: total } = fstatSync(TAR);
  let extended: { path?: string; size?: number } = {};
  for (let at = 0; at + BLOCK <= total; ) {
    const block = read(at, BLOCK);
    at += BLOCK;
    if (block.every((byte) => byte === 0)) break;
    const header = new Header(block);
    if (!header.cksumValid) throw new Error('it is not a tar');
    const size = extended.size ?? header.size ?? 0;
    if (!Number.isSafeInteger(size) || size < 0 || at + size > total) throw new Error('it ends too early');
    const { type } = header;
    if (type === 'ExtendedHeader' || type === 'NextFileHasLongPath') {
      if (size > OCI.tarMetaMaxBytes) throw new Error('its headers are too large');
      const text = read(at, size).toString();
      extended =
        type === 'ExtendedHeader'
          ? plain(Pax.parse(text, extended))
          : { ...extended, path: text.replace(/\0.*/s, '') };
    } else {
      if (type === 'File' || type === 'OldFile') files.push([extended.path ?? header.path ?? '', at, size]);
      if (files.length > OCI.archiveEntriesMax) throw new Error('it has too many files');
      extended = {};
    }
    at += Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

function plain({ path, size }: { path?: string | undefined; size?: number | undefined }): {
  path?: string;
  size?: number;
} {
  return { ...(path === undefined ? {} : { path }), ...(size === undefined ? {} : { size }) };
}

function read(offset: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const bytes = readSync(TAR, buffer, done, length - done, offset + done);
    if (bytes === 0) throw new Error('it ends too early');
    done += bytes;
  }
  return buffer;
}

process.stdout.write(STARTED);
try {
  process.stdout.write(JSON.stringify(index()));
} catch (error) {
  process.stderr.write(`${COMPLAINT}${(error as Error).message.slice(0, 200)}\n`);
  process.exitCode = 4;
}
