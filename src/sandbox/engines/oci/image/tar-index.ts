/**
 * Where the files of a tar lie in it. Nothing is unpacked, contents are not even read. Runs in a confined process.
 */

import { fstatSync, readSync } from 'node:fs';
import { Header, Pax } from 'tar';
import { OCI } from '../../../../tunables.js';

const BLOCK = 512;

export type TarEntry = [name: string, offset: number, size: number];

/** Throws an Error in plain words. `fd`: of a regular file. */
export function indexTar(fd: number): TarEntry[] {
  const files: TarEntry[] = [];
  const { size: total } = fstatSync(fd);
  let extended: { path?: string; size?: number } = {};
  let headers = 0;
  for (let at = 0; at + BLOCK <= total; ) {
    const block = read(fd, at, BLOCK);
    at += BLOCK;
    if (block.every((byte) => byte === 0)) break;
    const header = new Header(block);
    if (!header.cksumValid) throw new Error('it is not a tar');
    // An archive has as many folders and attributes as files.
    if (++headers > 4 * OCI.archiveEntriesMax) throw new Error('it has too many entries');
    const size = extended.size ?? header.size ?? 0;
    if (!Number.isSafeInteger(size) || size < 0 || at + size > total) throw new Error('it ends too early');
    const { type } = header;
    if (type === 'ExtendedHeader' || type === 'NextFileHasLongPath') {
      if (size > OCI.tarMetaMaxBytes) throw new Error('its headers are too large');
      const text = read(fd, at, size).toString();
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

function read(fd: number, offset: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const bytes = readSync(fd, buffer, done, length - done, offset + done);
    if (bytes === 0) throw new Error('it ends too early');
    done += bytes;
  }
  return buffer;
}
