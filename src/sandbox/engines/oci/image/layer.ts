/**
 * The plain tar of a layer, written below a directory while it is read. Runs in a confined process, so file calls are
 * synchronous. Counts what is written: bytes in whole blocks, files, links and directories, those on the way too. What a
 * layer takes away becomes a link to a target that only NEMO knows; devices and pipes are left out.
 */

import {
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Parser, type ReadEntry } from 'tar';
import { OCI } from '../../../../tunables.js';
import { badImage } from './faults.js';
import { layerParts, realDirectory } from './layer-path.js';

export const WHITEOUT = '.wh.';
export const OPAQUE = '.wh..wh..opq';
const BLOCK_BYTES = 4_096;
const SNIFF_BYTES = 512;

/** What all layers of an image may still use. */
export interface Room {
  bytes: number;
  entries: number;
}

export function tooLarge(): Error {
  return badImage(
    `the image has more than ${OCI.imageMaxBytes / 2 ** 20} MiB or ${OCI.entriesMax} files unpacked, or the store has no room for it`,
    'make the image smaller',
  );
}

type Done = (error?: Error | null) => void;

export class LayerWriter {
  private failure: Error | undefined;
  /** Before the parser sees any: it would unpack what is compressed once more, counted by nobody. */
  private head: Buffer | undefined = Buffer.alloc(0);
  /** What came after the end of the tar, of which the parser would keep and copy all; undefined before it. */
  private trailingBytes: number | undefined;
  /** Of entries, those too that are left out or replaced: reading one costs as much. */
  private headersLeft: number;
  private readonly parser = new Parser({
    ...{ strict: true, brotli: false, zstd: false, maxMetaEntrySize: OCI.tarMetaMaxBytes },
  });

  constructor(
    private readonly root: string,
    private readonly room: Room,
    private readonly takenAway: string,
  ) {
    this.headersLeft = OCI.headersPerEntry * room.entries;
    const fail = (error: unknown): void => this.fail(error);
    this.parser.on('entry', (entry: ReadEntry) => {
      try {
        if (--this.headersLeft < 0) throw tooLarge();
        if (this.failure === undefined) this.add(entry);
        else entry.resume();
      } catch (error) {
        this.fail(error);
        entry.resume();
      }
    });
    this.parser.on('warn', (_code: string, _message: string, data: unknown) => fail(data));
    this.parser.on('error', fail);
    this.parser.on('eof', () => {
      this.trailingBytes = 0;
    });
  }

  write(chunk: Buffer, done: Done): void {
    const next = (): void => done(this.failure ?? null);
    if (this.trailingBytes !== undefined) {
      this.trailingBytes += chunk.length;
      if (this.trailingBytes > OCI.tarTrailerMaxBytes) this.fail(badImage('a layer goes on after its end'));
      return void next();
    }
    const ready = this.head === undefined ? chunk : this.sniff(Buffer.concat([this.head, chunk]));
    if (ready === undefined || this.failure !== undefined || this.parser.write(ready)) next();
    else this.parser.once('drain', next);
  }

  end(done: Done): void {
    if (this.head !== undefined && this.head.length > 0) this.fail(badImage('a layer is not a tar'));
    const last = (): void => done(this.failure ?? null);
    if (this.failure !== undefined) last();
    else {
      this.parser.once('end', last);
      this.parser.once('error', last);
      this.parser.end();
    }
  }

  /** The first bytes once there are enough of them. */
  private sniff(head: Buffer): Buffer | undefined {
    this.head = head.length < SNIFF_BYTES ? head : undefined;
    if (this.head !== undefined) return undefined;
    if (isCompressed(head)) this.fail(badImage('a layer is compressed twice', 'compress it once'));
    return head;
  }

  private fail(error: unknown): void {
    this.failure ??= error instanceof Error ? error : badImage('a layer is damaged');
  }

  private take(bytes: number): void {
    this.room.bytes -= Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
    if (--this.room.entries < 0 || this.room.bytes < 0) throw tooLarge();
  }

  private add(entry: ReadEntry): void {
    const parts = layerParts(entry.path);
    const name = parts.pop();
    const { type } = entry;
    if (name === undefined) return void entry.resume();
    const parent = realDirectory(this.root, parts, () => this.take(BLOCK_BYTES));
    const path = join(parent, name);
    if (name.startsWith(WHITEOUT)) {
      // One that takes away nothing that has a name is a file like any other, and nobody wants it.
      const gone = name === OPAQUE ? name : layerParts(name.slice(WHITEOUT.length)).join('/');
      if (gone !== '' && gone !== OPAQUE) this.put(join(parent, gone), this.takenAway);
      else if (name === OPAQUE) this.put(path, this.takenAway);
    } else if (type === 'Directory') {
      if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
        this.take(BLOCK_BYTES);
        clear(path);
        mkdirSync(path);
      }
    } else if (type === 'SymbolicLink') {
      const to = entry.linkpath ?? '';
      if (to === this.takenAway) throw badImage('a layer has a link that only NEMO makes');
      this.put(path, to);
    } else if (type === 'Link') {
      this.link(path, entry.linkpath ?? '');
    } else if (type === 'File' || type === 'OldFile' || type === 'ContiguousFile') {
      this.take(entry.size);
      clear(path);
      this.writeFile(path, entry);
      return;
    }
    entry.resume();
  }

  private put(path: string, target: string): void {
    this.take(BLOCK_BYTES);
    clear(path);
    symlinkSync(target, path);
  }

  private link(path: string, linkpath: string): void {
    const target = layerParts(linkpath);
    const last = target.pop();
    const existing = join(
      realDirectory(this.root, target, () => this.take(BLOCK_BYTES)),
      last ?? '',
    );
    if (last === undefined || lstatSync(existing, { throwIfNoEntry: false })?.isFile() !== true)
      throw badImage(
        `a layer has a hard link to what is no file in it: ${JSON.stringify(linkpath.slice(0, 200))}`,
      );
    if (existing === path) return;
    this.take(0);
    clear(path);
    linkSync(existing, path);
  }

  private writeFile(path: string, entry: ReadEntry): void {
    // 'wx': never through something that is there.
    const fd = openSync(path, 'wx', 0o600);
    let broken = false;
    entry.on('data', (chunk: Buffer) => {
      if (broken) return;
      try {
        for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
      } catch (error) {
        broken = true;
        this.fail(error);
      }
    });
    entry.on('end', () => {
      closeSync(fd);
      // All that its owner may matter for is whether it is a program.
      if (((entry.mode ?? 0) & 0o100) !== 0) chmodSync(path, 0o700);
    });
  }
}

export function isCompressed(head: Buffer): 'gzip' | 'zstd' | undefined {
  if (head.length < 4) return undefined;
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  return head.readUInt32LE() === 0xfd2fb528 ? 'zstd' : undefined;
}

function clear(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
