/**
 * Bodies of the API as their headers say they are written (RFC 9110, 8.3 and 8.4): unpacked, within a bound, and as
 * text. What is not known here is refused with 415 and not guessed.
 */

import * as zlib from 'node:zlib';
import { NemoError } from '../model/errors.js';
import { latin, wideMark } from '../runner/charsets.js';
import { bodyTooLarge } from './body.js';

type Unpack = (
  bytes: Buffer,
  options: { maxOutputLength: number },
  done: (error: Error | null, plain: Buffer) => void,
) => void;

const { zstdDecompress } = zlib as {
  zstdDecompress?: (
    bytes: Buffer,
    options: { maxOutputLength: number; info: true },
    done: (error: Error | null, result: { buffer: Buffer; engine: { bytesWritten: number } }) => void,
  ) => void;
};
const CODINGS = new Map<string, Unpack>([
  ['gzip', zlib.gunzip],
  ['x-gzip', zlib.gunzip],
  // Some leave out the head that `deflate` has (RFC 9110, 8.4.1.2).
  [
    'deflate',
    (bytes, options, done) => (hasZlibHead(bytes) ? zlib.inflate : zlib.inflateRaw)(bytes, options, done),
  ],
  ['br', zlib.brotliDecompress],
  // Of newer versions of node.
  ...(zstdDecompress === undefined ? [] : [['zstd', unpackFrames] as const]),
]);
const ACCEPTED = [...CODINGS.keys()].filter((name) => !name.startsWith('x-')).join(', ');
/** Each is a turn of its own on some versions of node. */
const FRAMES_MAX = 1_000;
/** One on top of the other; nobody needs more. */
const CODINGS_MAX = 3;

/** `codings`: of Content-Encoding. Gives the plain bytes, at most `maxBytes`. BODY_CODING, BODY_TOO_LARGE, BAD_REQUEST. */
export function unpack(
  bytes: Buffer,
  codings: string,
  maxBytes: number,
  done: (error: NemoError | null, plain?: Buffer) => void,
): void {
  const names = codings
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity');
  const unknown = names.find((name) => !CODINGS.has(name));
  if (unknown !== undefined || names.length > CODINGS_MAX) {
    const hint = `send it plain, or in one of ${ACCEPTED}`;
    const message = `Content-Encoding: ${codings.slice(0, 80)} is not unpacked here`;
    done(new NemoError('BODY_CODING', message, { hint, details: { acceptEncoding: ACCEPTED } }));
    return;
  }
  const next = (packed: Buffer): void => {
    const name = names.pop();
    if (name === undefined || packed.length === 0) {
      done(null, packed);
      return;
    }
    CODINGS.get(name)!(packed, { maxOutputLength: maxBytes }, (error, plain) => {
      if (error === null) next(plain);
      else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') done(bodyTooLarge(maxBytes));
      else {
        const message = `the request body is not packed as ${name}: ${error.message}`;
        done(
          new NemoError('BAD_REQUEST', message, {
            hint: 'leave Content-Encoding out of a plain body',
            cause: error,
          }),
        );
      }
    });
  };
  next(bytes);
}

/** Node up to 26.5 stops after the first frame of zstd (nodejs/node#64741): what it has not read is given to it again. */
function unpackFrames(
  bytes: Buffer,
  { maxOutputLength }: { maxOutputLength: number },
  done: (error: Error | null, plain: Buffer) => void,
): void {
  const plain: Buffer[] = [];
  let room = maxOutputLength;
  const next = (rest: Buffer): void => {
    const options = { maxOutputLength: Math.max(room, 1), info: true } as const;
    zstdDecompress!(rest, options, (error, result) => {
      if (error !== null) return done(error, bytes);
      const { buffer, engine } = result;
      room -= buffer.length;
      const left = rest.subarray(engine.bytesWritten);
      if (room < 0)
        return done(Object.assign(new Error('it is too large'), { code: 'ERR_BUFFER_TOO_LARGE' }), bytes);
      if (engine.bytesWritten === 0 || plain.push(buffer) > FRAMES_MAX)
        return done(new Error('it does not end, or has too many frames'), bytes);
      if (left.length > 0) next(left);
      else done(null, Buffer.concat(plain));
    });
  };
  next(bytes);
}

function hasZlibHead(bytes: Buffer): boolean {
  return bytes.length > 1 && (bytes[0]! & 15) === 8 && bytes.readUInt16BE(0) % 31 === 0;
}

/** The text of a JSON body, in the charset that Content-Type names or its first bytes show. BODY_CODING, BAD_REQUEST. */
export function textOf(bytes: Buffer, contentType: string): string {
  const named = /;\s*charset\s*=\s*["']?([^\s;"']+)/i.exec(contentType)?.[1]?.toLowerCase();
  const charset = named === undefined || named === 'utf-16' ? (wideMark(bytes) ?? named ?? 'utf-8') : named;
  let decoder: InstanceType<typeof TextDecoder>;
  try {
    decoder = new TextDecoder(charset, { fatal: true });
  } catch {
    throw new NemoError('BODY_CODING', `the charset ${charset.slice(0, 40)} is not known`, {
      hint: 'send UTF-8',
    });
  }
  try {
    return decoder.encoding === 'windows-1252' ? latin(bytes) : decoder.decode(bytes);
  } catch (cause) {
    throw new NemoError('BAD_REQUEST', `the request body is not ${charset}`, {
      hint: 'send UTF-8, or name its charset in Content-Type',
      cause,
    });
  }
}
