/**
 * One layer: a tar, often gzipped -> a directory that overlayfs takes as a lower one. Everything belongs to root and
 * may be read by all, as sandboxes have users of their own; set-id bits go. Whiteouts become overlayfs's. Devices and
 * pipes are left out. Runs in the import worker: file calls are synchronous.
 */

import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  createReadStream,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { check, mknod, setxattr } from '../../../../linux/libc.js';
import { OCI } from '../../../../tunables.js';
import { badImage } from './faults.js';
import { layerParts, realDirectory } from './layer-path.js';

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
const S_IFCHR = 0o020000;

/** What all layers of an image may still use. */
export interface Room {
  bytes: number;
  entries: number;
}

/** Unpacks into `directory`, which must be new. Returns the digest of the plain tar. Throws BAD_FUNCTION. */
export async function unpackLayer(file: string, directory: string, room: Room): Promise<string> {
  mkdirSync(directory, { mode: 0o755 });
  const hash = createHash('sha256');
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      room.bytes -= chunk.length;
      done(room.bytes < 0 ? tooLarge() : null, chunk);
    },
  });
  const stages = [createReadStream(file), ...decompressor(file), count, entriesInto(directory, room)];
  try {
    await pipeline(stages as unknown as [NodeJS.ReadableStream, NodeJS.WritableStream]);
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code ?? '';
    if (/^Z_|^ERR_ZLIB|^TAR_/.test(code)) throw badImage(`a layer is damaged: ${(thrown as Error).message}`);
    throw thrown;
  }
  return `sha256:${hash.digest('hex')}`;
}

function tooLarge(): Error {
  return badImage(
    `the image has more than ${OCI.imageMaxBytes >> 20} MiB or ${OCI.entriesMax} files unpacked`,
    'make the image smaller',
  );
}

function decompressor(file: string): Transform[] {
  const magic = Buffer.alloc(4);
  const fd = openSync(file, 'r');
  try {
    readInto(fd, magic);
  } finally {
    closeSync(fd);
  }
  if (magic[0] === 0x1f && magic[1] === 0x8b) return [createGunzip()];
  if (magic.readUInt32LE() === 0xfd2fb528)
    throw badImage(
      'a layer is compressed with zstd, which is not read here',
      'build the image with gzip layers',
    );
  return [];
}

function readInto(fd: number, buffer: Buffer): void {
  readSync(fd, buffer, 0, buffer.length, 0);
}

/** The tar's entries, written one after the other while they are read. */
function entriesInto(root: string, room: Room): Writable {
  let failure: Error | undefined;
  const files = new Set<number>();
  const parser = new Parser({ strict: true, brotli: false });
  const fail = (error: unknown) => {
    failure ??= error as Error;
  };
  parser.on('entry', (entry: ReadEntry) => {
    try {
      if (--room.entries < 0) throw tooLarge();
      if (failure === undefined) writeEntry(root, entry, files, fail);
      else entry.resume();
    } catch (error) {
      fail(error);
      entry.resume();
    }
  });
  parser.on('warn', (_code: string, _message: string, data: unknown) => fail(data));
  parser.on('error', fail);
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      const next = () => done(failure ?? null);
      if (parser.write(chunk)) next();
      else parser.once('drain', next);
    },
    final(done) {
      parser.once('end', () => done(failure ?? null));
      parser.once('error', () => done(failure ?? null));
      parser.end();
    },
    destroy(error, done) {
      for (const fd of files) closeSync(fd);
      done(error);
    },
  });
}

function writeEntry(
  root: string,
  entry: ReadEntry,
  files: Set<number>,
  fail: (error: unknown) => void,
): void {
  const parts = layerParts(entry.path);
  const name = parts.pop();
  const { type } = entry;
  if (name === undefined) return void entry.resume();
  const parent = realDirectory(root, parts);
  const path = join(parent, name);
  if (name === OPAQUE) {
    check(setxattr(parent, 'trusted.overlay.opaque', Buffer.from('y'), 1, 0), 'setxattr', parent);
  } else if (name.startsWith(WHITEOUT)) {
    const gone = join(parent, layerParts(name.slice(WHITEOUT.length)).join('/') || name);
    clear(gone);
    check(mknod(gone, S_IFCHR, 0), 'mknod', gone);
  } else if (type === 'Directory') {
    if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
      clear(path);
      mkdirSync(path);
    }
    chmodSync(path, openMode(entry.mode) | 0o755);
  } else if (type === 'SymbolicLink') {
    clear(path);
    symlinkSync(entry.linkpath ?? '', path);
  } else if (type === 'Link') {
    const target = layerParts(entry.linkpath ?? '');
    const last = target.pop();
    const existing = join(realDirectory(root, target), last ?? '');
    if (last === undefined || lstatSync(existing, { throwIfNoEntry: false })?.isFile() !== true)
      throw badImage(`a layer has a hard link to what is no file in it: ${entry.path.slice(0, 200)}`);
    if (existing !== path) {
      clear(path);
      linkSync(existing, path);
    }
  } else if (type === 'File' || type === 'OldFile' || type === 'ContiguousFile') {
    clear(path);
    writeFile(path, entry, files, fail);
    return;
  }
  entry.resume();
}

/** `files` has those that are open, for when the layer ends in the middle of one. */
function writeFile(path: string, entry: ReadEntry, files: Set<number>, fail: (error: unknown) => void): void {
  // 'wx': never through something that is there.
  const fd = openSync(path, 'wx', 0o600);
  files.add(fd);
  let broken = false;
  entry.on('data', (chunk: Buffer) => {
    if (broken) return;
    try {
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
    } catch (error) {
      broken = true;
      fail(error);
    }
  });
  entry.on('end', () => {
    files.delete(fd);
    closeSync(fd);
    chmodSync(path, openMode(entry.mode));
  });
}

function clear(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** What the owner may read and execute, all may; nobody may write, and no bit raises anybody. */
function openMode(mode = 0o644): number {
  const owner = mode & 0o500;
  return owner | (owner >> 3) | (owner >> 6) | 0o444;
}
