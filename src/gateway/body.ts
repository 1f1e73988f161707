/**
 * Takes the body of a request into memory, within the bound of one body and the budget of all of them. What came is in
 * the budget until its taker gives it back: a body waits in a queue for as long as its call does.
 */

import type { IncomingMessage } from 'node:http';
import { NemoError } from '../model/errors.js';
import { GATEWAY_HTTP } from '../tunables/index.js';
import type { Shares } from './shares.js';

export interface BodyTaker {
  /** The bytes are in the budget, to be given back once. */
  onBody(bytes: Buffer): void;
  onRefused(error: NemoError): void;
}

/** Its client keeps the body until it is told to go on (`Expect: 100-continue`). */
export interface AsksFirst extends IncomingMessage {
  goOn?: () => void;
}

const NOTHING = Buffer.alloc(0);
/** A piece costs some 200 bytes of memory beside its own: shorter ones are put together in blocks. */
const SHORT_BYTES = 4 * 1024;
const BLOCK_BYTES = 16 * 1024;

/** A body that comes in pieces, of which the client chooses the length. */
class Pieces {
  private readonly whole: Buffer[] = [];
  private block = NOTHING;
  private used = 0;

  push(piece: Buffer): void {
    if (piece.length >= SHORT_BYTES) {
      this.closeBlock();
      this.whole.push(piece);
      return;
    }
    if (this.used + piece.length > this.block.length) {
      this.closeBlock();
      if (this.block.length === 0) this.block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    }
    this.used += piece.copy(this.block, this.used);
  }

  join(bytes: number): Buffer {
    this.closeBlock();
    return Buffer.concat(this.whole, bytes);
  }

  /** The block itself is used again if little of it was. */
  private closeBlock(): void {
    const { block, used } = this;
    if (used === 0) return;
    const isShort = used < BLOCK_BYTES / 2;
    this.whole.push(isShort ? Buffer.from(block.subarray(0, used)) : block.subarray(0, used));
    if (!isShort) this.block = NOTHING;
    this.used = 0;
  }
}

/**
 * One Buffer, copied only if it came in pieces. `declaredBytes`: undefined if it comes in chunks. The taker hears
 * once; not at all, if the client leaves in the middle.
 */
export function collectBody(
  request: AsksFirst,
  declaredBytes: number | undefined,
  maxBytes: number,
  bodies: Shares,
  taker: BodyTaker,
): void {
  let first: Buffer | undefined;
  let more: Pieces | undefined;
  let bytes = 0;
  /** Of them in the budget. */
  let counted = 0;
  let over = false;
  const { socket } = request;
  const dismiss = (): void => {
    if (over) return;
    over = true;
    bodies.give(socket, counted);
    first = undefined;
    more = undefined;
  };
  const refuse = (error: NemoError): void => {
    dismiss();
    cutLongUpload(request);
    taker.onRefused(error);
  };
  request.goOn?.();
  request.on('data', (chunk: Buffer) => {
    if (over) return;
    bytes += chunk.length;
    if (bytes > maxBytes) {
      refuse(bodyTooLarge(maxBytes));
      return;
    }
    if (first !== undefined) {
      if (more === undefined) {
        more = new Pieces();
        more.push(first);
      }
      more.push(chunk);
    } else {
      first = chunk;
      // Most come whole: its end is told in this turn, and nothing is held meanwhile.
      if (bytes === declaredBytes) return;
      request.on('close', dismiss);
    }
    if (bodies.take(socket, chunk.length)) counted += chunk.length;
    else refuse(bodiesTooLarge());
  });
  request.on('end', () => {
    if (over) return;
    if (counted < bytes && !bodies.take(socket, bytes - counted)) {
      refuse(bodiesTooLarge());
      return;
    }
    over = true;
    taker.onBody(more === undefined ? (first ?? NOTHING) : more.join(bytes));
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

export function bodiesTooLarge(): NemoError {
  return new NemoError('OVERLOADED', 'the bodies of all requests together are larger than the agent holds', {
    hint: 'try again later, or send less at once',
  });
}
