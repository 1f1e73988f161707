/**
 * Where the files of a tar lie in it. Nothing is unpacked, contents are not even read. A link is its file once more, if that
 * lies in the tar: `docker save` writes them for a layer that comes twice. Runs in a confined process.
 */

import { fstatSync, readSync } from 'node:fs';
import { posix } from 'node:path';
import { Header, Pax } from 'tar';
import { OCI } from '../tunables/index.js';

const BLOCK = 512;
const LINKS_MAX = 8;

export type TarEntry = [name: string, offset: number, size: number];

/** Throws an Error in plain words. `fd`: of a regular file. */
export function indexTar(fd: number): TarEntry[] {
  const files: TarEntry[] = [];
  const links = new Map<string, string>();
  const { size: total } = fstatSync(fd);
  let extended: Extended = {};
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
    if (type === 'ExtendedHeader' || type === 'NextFileHasLongPath' || type === 'NextFileHasLongLinkpath') {
      if (size > OCI.tarMetaMaxBytes) throw new Error('its headers are too large');
      const text = read(fd, at, size).toString();
      if (type === 'ExtendedHeader') extended = plain(Pax.parse(text, extended));
      else extended = { ...extended, [LONG[type]]: text.replace(/\0.*/s, '') };
    } else {
      const name = extended.path ?? header.path ?? '';
      const to = extended.linkpath ?? header.linkpath ?? '';
      if (type === 'File' || type === 'OldFile') files.push([name, at, size]);
      else if (type === 'SymbolicLink') links.set(posix.normalize(name), posix.join(posix.dirname(name), to));
      else if (type === 'Link') links.set(posix.normalize(name), posix.normalize(to));
      if (files.length + links.size > OCI.archiveEntriesMax) throw new Error('it has too many files');
      extended = {};
    }
    at += Math.ceil(size / BLOCK) * BLOCK;
  }
  return [...files, ...linkedFiles(files, links)];
}

interface Extended {
  path?: string;
  linkpath?: string;
  size?: number;
}

const LONG = { NextFileHasLongPath: 'path', NextFileHasLongLinkpath: 'linkpath' } as const;

/** Under the names of their links, where these lead to a file of the tar by name. */
function linkedFiles(files: readonly TarEntry[], links: ReadonlyMap<string, string>): TarEntry[] {
  if (links.size === 0) return [];
  const byName = new Map(files.map((file) => [posix.normalize(file[0]), file]));
  return [...links.keys()].flatMap((name) => {
    let to = name;
    for (let i = 0; i < LINKS_MAX && links.has(to); i++) to = links.get(to)!;
    const [, at, size] = byName.get(to) ?? [];
    return at === undefined || size === undefined || byName.has(name) ? [] : [[name, at, size] as TarEntry];
  });
}

function plain({ path, linkpath, size }: { [K in keyof Extended]?: Extended[K] | undefined }): Extended {
  return {
    ...(path === undefined ? {} : { path }),
    ...(linkpath === undefined ? {} : { linkpath }),
    ...(size === undefined ? {} : { size }),
  };
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
