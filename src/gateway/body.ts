/**
 * Takes the body of a request into memory, within the bound of one body and the budget of all of them. What came
 * stays in the budget until `release`: a body waits in a queue for as long as its call does.
 */

import type { IncomingMessage } from 'node:http';
import { NemoError } from '../errors.js';
import { GATEWAY_HTTP } from '../tunables.js';
import type { Budget } from './budget.js';

export interface Body {
  bytes: Buffer;
  /** To be called once, when the bytes are not needed any more. */
  release(): void;
}

const NOTHING = Buffer.alloc(0);

/**
 * One Buffer, copied only if it came in pieces. Exactly one of `onBody` and `onRefused` is called; neither, if the
 * client leaves in the middle.
 */
export function collectBody(
  request: IncomingMessage,
  maxBytes: number,
  budget: Budget,
  onBody: (body: Body) => void,
  onRefused: (error: NemoError) => void,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let over = false;
  const giveBack = (): void => {
    budget.give(bytes);
    bytes = 0;
    chunks.length = 0;
  };
  const refuse = (error: NemoError): void => {
    over = true;
    giveBack();
    cutLongUpload(request);
    onRefused(error);
  };
  request.on('data', (chunk: Buffer) => {
    if (over) return;
    if (bytes + chunk.length > maxBytes) return refuse(bodyTooLarge(maxBytes));
    if (!budget.take(chunk.length)) return refuse(bodiesTooLarge());
    bytes += chunk.length;
    chunks.push(chunk);
  });
  request.on('end', () => {
    if (over) return;
    over = true;
    const held = bytes;
    onBody({
      bytes: chunks.length > 1 ? Buffer.concat(chunks, bytes) : (chunks[0] ?? NOTHING),
      release: () => budget.give(held),
    });
  });
  request.on('close', () => {
    if (over) return;
    over = true;
    giveBack();
  });
}

/**
 * A refused body is read to its end, because a client that is still sending does not see an answer on a
 * connection that was reset; but not for ever.
 */
export function cutLongUpload(request: IncomingMessage): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > GATEWAY_HTTP.refusedUploadMaxBytes) request.destroy();
  });
}

export function bodyTooLarge(maxBytes: number): NemoError {
  return new NemoError('BODY_TOO_LARGE', `the request body is larger than ${maxBytes} bytes`, {
    hint: 'send less, or give the function the address of the data',
  });
}

function bodiesTooLarge(): NemoError {
  return new NemoError('OVERLOADED', 'the bodies of all requests together are larger than the agent holds', {
    hint: 'try again later, or send less at once',
  });
}
