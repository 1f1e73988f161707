/**
 * What a function returned -> frames. A whole answer is one frame; a stream waits for the socket between chunks,
 * so a slow reader slows the function and nothing piles up.
 */

import { Buffer } from 'node:buffer';
import { BODY_MAX_BYTES, BodyKind, EMPTY, FrameType, type FrameWriter } from './frames.js';

const toJson = JSON.stringify;
const isView = ArrayBuffer.isView;
const bytesOf = Buffer.from as (buffer: ArrayBufferLike, at: number, length: number) => Buffer;
const byteLength = Buffer.byteLength;
const fromText = Buffer.from as (text: string) => Buffer;
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
    case 'object':
      if (value === null) whole(out, callId, BodyKind.none, EMPTY);
      else if (isView(value)) whole(out, callId, BodyKind.bytes, viewBytes(value));
      else if (value instanceof ArrayBuffer) whole(out, callId, BodyKind.bytes, new Uint8Array(value));
      else if (isResponse(value)) return sendResponse(out, call, value);
      else if (isAsyncIterable(value)) {
        return sendStream(out, call, 200, { 'content-type': 'application/octet-stream' }, value);
      } else whole(out, callId, BodyKind.json, toJson(value) ?? 'null');
      return undefined;
    default:
      whole(out, callId, BodyKind.json, toJson(value));
      return undefined;
  }
}

function whole(out: Outlet, callId: number, kind: number, body: Uint8Array | string): void {
  const bytes = typeof body === 'string' ? byteLength(body) : body.byteLength;
  if (bytes > BODY_MAX_BYTES) {
    throw new BadReply('BODY_TOO_LARGE', `the answer has ${bytes} bytes; return a stream for so much`);
  }
  out.writer.add(FrameType.reply, kind, 200, callId, 0, '', body);
  out.writer.flush();
}

function viewBytes(view: ArrayBufferView): Uint8Array {
  return view instanceof Uint8Array ? view : bytesOf(view.buffer, view.byteOffset, view.byteLength);
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
  const headers: Record<string, string> = {};
  response.headers.forEach((value, name) => {
    headers[name] = value;
  });
  // `forEach` gives each of several cookies in turn; the agent wants them as one value.
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 1) headers['set-cookie'] = cookies.join('\n');
  if (response.body !== null) return sendStream(out, call, response.status, headers, response.body);
  out.writer.add(FrameType.head, 0, response.status, call.id, 0, toJson(headers), EMPTY);
  out.writer.add(FrameType.end, 0, 0, call.id, 0, '', EMPTY);
  out.writer.flush();
  return undefined;
}

async function sendStream(
  out: Outlet,
  call: Answered,
  status: number,
  headers: Record<string, string>,
  source: unknown,
): Promise<void> {
  const callId = call.id;
  out.writer.add(FrameType.head, 0, status, callId, 0, toJson(headers), EMPTY);
  out.writer.flush();
  for await (const item of source as AsyncIterable<unknown>) {
    if (call.cancelled) break;
    const chunk = chunkBytes(item);
    for (let at = 0; at < chunk.byteLength; at += CHUNK_MAX_BYTES) {
      const part = chunk.subarray(at, at + CHUNK_MAX_BYTES);
      out.writer.add(FrameType.chunk, 0, 0, callId, 0, '', part);
      out.writer.flush();
      const wait = out.drained();
      if (wait !== undefined) await wait;
    }
  }
  out.writer.add(FrameType.end, 0, 0, callId, 0, '', EMPTY);
  out.writer.flush();
}

function chunkBytes(item: unknown): Uint8Array {
  if (typeof item === 'string') return fromText(item);
  if (isView(item)) return viewBytes(item);
  if (item instanceof ArrayBuffer) return new Uint8Array(item);
  throw new BadReply('FUNCTION_ERROR', `a streamed chunk must be a string or bytes, not ${typeof item}`);
}
