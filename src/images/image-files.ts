/** The files of a layout or of an archive, by name, and how they are read: whole if they are documents, else as streams. */

import { fstatSync, read, readSync } from 'node:fs';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { NemoError } from '../model/errors.js';
import { OCI } from '../tunables/index.js';
import { badImage } from './faults.js';

const READ_BYTES = 256 * 1024;
const readInto = promisify(read);

/** One image, whatever it came from. */
export interface OpenImage {
  config: { bytes: Buffer; digest: string | undefined };
  /** Registry and repository; undefined for what is at hand. */
  givenBy: string | undefined;
  /** Lowest first; nobody has checked the content that `open` gives. */
  layers: Array<{ digest: string | undefined; open(): Promise<Readable> }>;
  close(): void;
}

/** A part of an open file. */
export interface Part {
  fd: number;
  offset: number;
  size: number;
}

export interface ImageFiles {
  find(name: string): Part | undefined;
  close(): void;
}

export function noTag(tag: string | undefined): NemoError {
  const which = tag === undefined ? '' : ` '${tag.slice(0, 80)}'`;
  return new NemoError('NOT_FOUND', `there is no image${which} in it`, { hint: 'name one as /path#tag' });
}

export function need(files: ImageFiles, name: string): Part {
  const part = files.find(name);
  if (part !== undefined) return part;
  throw badImage(`the image lacks ${JSON.stringify(name.slice(0, 200))}`, 'save the image again');
}

export function document(part: Part): Buffer {
  if (part.size > OCI.documentMaxBytes) throw badImage('a document of the image is too large');
  return readPart(part);
}

export function readPart({ fd, offset, size }: Part): Buffer {
  const buffer = Buffer.alloc(Math.min(size, fstatSync(fd).size));
  let done = 0;
  while (done < buffer.length) {
    const bytes = readSync(fd, buffer, done, buffer.length - done, offset + done);
    if (bytes === 0) break;
    done += bytes;
  }
  return buffer.subarray(0, done);
}

/** Leaves the descriptor open, however it ends. */
export function streamOf({ fd, offset, size }: Part): Readable {
  const chunks = async function* (): AsyncGenerator<Buffer> {
    for (let at = offset; at < offset + size; ) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, offset + size - at));
      const { bytesRead } = await readInto(fd, buffer, 0, buffer.length, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  };
  return Readable.from(chunks(), { objectMode: false });
}
