/**
 * What a function returned -> frames. A whole answer is one frame; a stream waits for the socket between chunks,
 * so a slow reader slows the function and nothing piles up.
 */

import { Buffer } from 'node:buffer';
import { BODY_MAX_BYTES, BodyKind, EMPTY, FrameType, type FrameWriter } from './frames.js';
import { ownBytes } from './primordials.js';

const toJson = JSON.stringify;
const bytesOf = Buffer.from as (buffer: ArrayBufferLike, at: number, length: number) => Buffer;
const isInteger = Number.isInteger;
const noNames = Object.create.bind(Object, null) as () => object;
const textBytes = Buffer.byteLength;
const least = Math.min;
const fromText = Buffer.from as (text: string) => Buffer;
const endOfTurn = setImmediate as (then: () => void) => unknown;
/** A frame holds at most this much of a stream, so that other calls get their turn on the socket. */
const CHUNK_MAX_BYTES = 256 * 1024;

export interface Outlet {
  readonly writer: FrameWriter;
  /** Resolves when the socket takes more. */
  drained(): Promise<void> | undefined;
}

/** The call that is answered. */
export interface Answered {
  readonly id: number;
  /** Its caller has left. */
  cancelled: boolean;
}

/** The function's answer cannot be sent. `code` is one of the error codes that the agent accepts from a runner. */
export class BadReply extends Error {
  constructor(
    readonly code: 'FUNCTION_ERROR' | 'BODY_TOO_LARGE',
    message: string,
  ) {
    super(message);
    this.name = 'BadReply';
  }
}

/** Sends the answer, or returns the promise of it when it is a stream. Throws BadReply before the first byte. */
export function sendResult(out: Outlet, call: Answered, value: unknown): Promise<void> | undefined {
  const callId = call.id;
  switch (typeof value) {
    case 'undefined':
      whole(out, callId, BodyKind.none, EMPTY);
      return undefined;
    case 'string':
      whole(out, callId, BodyKind.text, value);
      return undefined;
    case 'function':
    case 'symbol':
      throw new BadReply('FUNCTION_ERROR', `the function returned a ${typeof value}, which cannot be sent`);
    case 'object': {
      if (value === null) {
        whole(out, callId, BodyKind.none, EMPTY);
        return undefined;
      }
      const bytes = ownBytes(value);
      if (bytes !== undefined) whole(out, callId, BodyKind.bytes, bytes);
      else if (isResponse(value)) return sendResponse(out, call, value);
      else if (isAsyncIterable(value)) {
        return sendStream(out, call, 200, { 'content-type': 'application/octet-stream' }, value);
      } else whole(out, callId, BodyKind.json, toJson(value) ?? 'null');
      return undefined;
    }
    default:
      whole(out, callId, BodyKind.json, toJson(value));
      return undefined;
  }
}

function whole(out: Outlet, callId: number, kind: number, body: Uint8Array | string): void {
  const bytes = typeof body === 'string' ? textBytes(body) : body.byteLength;
  if (bytes > BODY_MAX_BYTES) {
    throw new BadReply('BODY_TOO_LARGE', `the answer has ${bytes} bytes; return a stream for so much`);
  }
  out.writer.add(FrameType.reply, kind, 200, callId, 0, '', body);
  out.writer.flush();
}

/** By its looks: naming the global would load the whole fetch implementation for functions without it. */
function isResponse(value: object): value is Response {
  return (
    (value as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] === 'Response' &&
    typeof (value as Response).arrayBuffer === 'function'
  );
}

function isAsyncIterable(value: object): value is AsyncIterable<unknown> {
  return typeof (value as AsyncIterable<unknown>)[Symbol.asyncIterator] === 'function';
}

function sendResponse(out: Outlet, call: Answered, response: Response): Promise<void> | undefined {
  const headers = noNames() as Record<string, string>;
  response.headers.forEach((value, name) => {
    headers[`${name}`] = `${value}`;
  });
  // `forEach` gives each of several cookies in turn; the agent wants them as one value.
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 1) headers['set-cookie'] = cookies.join('\n');
  // What looks like a Response may be the function's own object: read once, and looked at before it is used.
  const { status, body } = response;
  if (typeof status !== 'number' || !isInteger(status) || status < 200 || status > 599) {
    throw new BadReply(
      'FUNCTION_ERROR',
      'the function returned a response whose status is not one of 200 to 599',
    );
  }
  if (body !== null) return sendStream(out, call, status, headers, body);
  out.writer.add(FrameType.head, 0, status, call.id, 0, toJson(headers), EMPTY);
  out.writer.add(FrameType.end, 0, 0, call.id, 0, '', EMPTY);
  out.writer.flush();
  return undefined;
}

/**
 * The head waits for the rest of the turn: an answer that is all there by then has a length, which is told. One that
 * fails by then has said nothing yet, and is an error like any other.
 */
async function sendStream(
  out: Outlet,
  call: Answered,
  status: number,
  headers: Record<string, string>,
  source: unknown,
): Promise<void> {
  const callId = call.id;
  let first: Uint8Array | undefined;
  let begun = false;
  const begin = (): void => {
    if (begun) return;
    begun = true;
    out.writer.add(FrameType.head, 0, status, callId, 0, toJson(headers), EMPTY);
    if (first !== undefined) out.writer.add(FrameType.chunk, 0, 0, callId, 0, '', first);
  };
  endOfTurn(() => {
    begin();
    out.writer.flush();
  });
  try {
    for await (const item of source as AsyncIterable<unknown>) {
      if (call.cancelled) break;
      const bytes = chunkBytes(item);
      const { buffer, byteOffset, byteLength } = bytes;
      if (!begun && first === undefined && byteLength <= CHUNK_MAX_BYTES) {
        if (byteLength > 0) first = bytes;
        continue;
      }
      begin();
      for (let at = 0; at < byteLength; at += CHUNK_MAX_BYTES) {
        const part = bytesOf(buffer, byteOffset + at, least(CHUNK_MAX_BYTES, byteLength - at));
        out.writer.add(FrameType.chunk, 0, 0, callId, 0, '', part);
        out.writer.flush();
        const wait = out.drained();
        if (wait !== undefined) await wait;
      }
    }
  } catch (error) {
    begun = true;
    throw error;
  }
  if (!begun) {
    headers['content-length'] = `${first === undefined ? 0 : first.byteLength}`;
    begin();
  }
  out.writer.add(FrameType.end, 0, 0, callId, 0, '', EMPTY);
  out.writer.flush();
}

function chunkBytes(item: unknown): Uint8Array {
  if (typeof item === 'string') return fromText(item);
  const bytes = typeof item === 'object' && item !== null ? ownBytes(item) : undefined;
  if (bytes !== undefined) return bytes;
  throw new BadReply('FUNCTION_ERROR', `a streamed chunk must be a string or bytes, not ${typeof item}`);
}
