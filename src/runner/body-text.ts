/**
 * Bodies that a function gets as text: unpacked and decoded as their headers say. In the sandbox, where a body that
 * unpacks to gigabytes is its own function's memory and time. Everything is taken before function code runs.
 */

import { Buffer, isUtf8 } from 'node:buffer';
import { latin, wideMark } from './charsets.js';
import { BODY_MAX_BYTES, utf8 } from './frames.js';
import { BadReply } from './reply.js';

/** The request's body is not what its headers say: the caller's fault, not the function's. */
export class BadBody extends Error {}

type Unpack = (bytes: Buffer, options: { maxOutputLength: number }) => Buffer;
type Zlib = Record<'gunzipSync' | 'inflateSync' | 'inflateRawSync' | 'brotliDecompressSync', Unpack> & {
  zstdDecompressSync?: (
    bytes: Buffer,
    options: { maxOutputLength: number; info: true },
  ) => { buffer: Buffer; engine: { bytesWritten: number } };
};

const test = (pattern: RegExp) =>
  RegExp.prototype.test.bind(pattern) as (text: string | undefined) => boolean;
/** What is not there tests as 'undefined', which is none of them. */
export const isJson = test(/^application\/(json|[-\w.]+\+json)\s*(;|$)/i);
export const isText = test(/^text\//i);
export const namesCharset = test(/;\s*charset\s*=/i) as (type: string) => boolean;
// In single quotes, too: some write them, and no charset has one in its name.
const isUtf8Name = test(/;\s*charset\s*=\s*["']?(utf-?8|us-ascii)["']?\s*(;|$)/i);
const charsetOf = RegExp.prototype.exec.bind(/;\s*charset\s*=\s*["']?([^\s;"']+)/i);
const isCoding = test(/^(x-gzip|gzip|deflate|br|zstd)$/);
const lower = Function.prototype.call.bind(String.prototype.toLowerCase) as (text: string) => string;
const charCodeAt = Function.prototype.call.bind(String.prototype.charCodeAt) as (
  text: string,
  at: number,
) => number;
const slice = Function.prototype.call.bind(String.prototype.slice) as (
  text: string,
  from: number,
  to?: number,
) => string;
const trim = Function.prototype.call.bind(String.prototype.trim) as (text: string) => string;
const lastIndexOf = Function.prototype.call.bind(String.prototype.lastIndexOf) as (
  text: string,
  part: string,
) => number;
/** One on top of the other; nobody needs more. */
const CODINGS_MAX = 3;
/** Of UTF-8 as some programs write it: not a part of the text. */
const MARK = 0xfeff;
const Decoder = TextDecoder;
const decode = Function.prototype.call.bind(TextDecoder.prototype.decode) as (
  decoder: object,
  bytes: Uint8Array,
) => string;
const encodingOf = Function.prototype.call.bind(
  Object.getOwnPropertyDescriptor(TextDecoder.prototype, 'encoding')!.get!,
) as (decoder: object) => string;
// Loaded by the first packed body: most functions never get one.
const builtin = process.getBuiltinModule.bind(process) as (name: string) => unknown;
const zlib = (): Zlib => builtin('zlib') as Zlib;

/** As it came if one of its codings is not known here; else unpacked, and the headers say so. */
export function unpackBody(headers: Record<string, string>, body: Buffer): Buffer {
  const said = headers['content-encoding'];
  if (said === undefined || body.length === 0 || !areCodings(said)) return body;
  let plain = body;
  // The one named last was put on last.
  for (let rest: string | undefined = said; rest !== undefined; ) {
    const { name, before } = lastOf(rest);
    rest = before;
    if (name !== '' && plain.length > 0) plain = unpack(name, plain);
  }
  delete headers['content-encoding'];
  headers['content-length'] = `${plain.length}`;
  return plain;
}

/** All of them are known here. */
function areCodings(said: string): boolean {
  let count = 0;
  for (let rest: string | undefined = said; rest !== undefined; ) {
    const { name, before } = lastOf(rest);
    rest = before;
    if (name === '') continue;
    if (++count > CODINGS_MAX || !isCoding(name)) return false;
    // Of newer versions of node.
    if (name === 'zstd' && zlib().zstdDecompressSync === undefined) return false;
  }
  return true;
}

/** Its name is empty if it changes nothing. */
function lastOf(list: string): { name: string; before: string | undefined } {
  const comma = lastIndexOf(list, ',');
  const name = lower(trim(slice(list, comma + 1)));
  return {
    name: name === 'identity' ? '' : name,
    before: comma === -1 ? undefined : slice(list, 0, comma),
  };
}

function unpack(coding: string, body: Buffer): Buffer {
  try {
    return unpackerOf(coding, body)(body, { maxOutputLength: BODY_MAX_BYTES });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new BadReply('BODY_TOO_LARGE', `the body unpacks to more than ${BODY_MAX_BYTES} bytes`);
    }
    throw new BadBody(`the body is not packed as ${coding}: ${(error as Error).message}`);
  }
}

function unpackerOf(coding: string, { 0: first = 0, 1: second = 0 }: Buffer): Unpack {
  const { gunzipSync, brotliDecompressSync, inflateSync, inflateRawSync } = zlib();
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return gunzipSync;
    case 'br':
      return brotliDecompressSync;
    case 'zstd':
      return (bytes, options) => unpackFrames(zlib(), bytes, options);
    default:
      // Some leave out the head that `deflate` has (RFC 9110, 8.4.1.2).
      return (first & 15) === 8 && ((first << 8) | second) % 31 === 0 ? inflateSync : inflateRawSync;
  }
}

/** Node up to 26.5 stops after the first frame (nodejs/node#64741): what it has not read is given to it again. */
function unpackFrames(zlib: Zlib, bytes: Buffer, { maxOutputLength }: { maxOutputLength: number }): Buffer {
  const plain: Buffer[] = [];
  let room = maxOutputLength;
  for (let at = 0; at < bytes.length; ) {
    const options = { maxOutputLength: Math.max(room, 1), info: true } as const;
    const { buffer, engine } = zlib.zstdDecompressSync!(bytes.subarray(at), options);
    room -= buffer.length;
    if (room < 0) throw Object.assign(new Error('it is too large'), { code: 'ERR_BUFFER_TOO_LARGE' });
    if (engine.bytesWritten === 0) throw new Error('it does not end');
    at += engine.bytesWritten;
    if (buffer.length > 0) plain[plain.length] = buffer;
  }
  return plain.length === 1 ? plain[0]! : Buffer.concat(plain);
}

/** Undefined if it is in no charset that is known here. */
export function textOf(type: string, bytes: Buffer): string | undefined {
  if (!namesCharset(type) || isUtf8Name(type)) {
    if (isUtf8(bytes)) {
      const text = utf8(bytes);
      return charCodeAt(text, 0) === MARK ? slice(text, 1) : text;
    }
    return namesCharset(type) ? undefined : decoded(wideMark(bytes), bytes);
  }
  const charset = lower(charsetOf(type)![1]!);
  return decoded(charset === 'utf-16' ? (wideMark(bytes) ?? 'utf-16le') : charset, bytes);
}

function decoded(charset: string | undefined, bytes: Buffer): string | undefined {
  if (charset === undefined) return undefined;
  try {
    const decoder = new Decoder(charset, { fatal: true });
    return encodingOf(decoder) === 'windows-1252' ? latin(bytes) : decode(decoder, bytes);
  } catch {
    return undefined;
  }
}
