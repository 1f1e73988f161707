/** Bodies of the API, bounded each and together, packed or not: JSON, or bytes, whatever the Content-Type says. */

import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { NemoError } from '../model/errors.js';
import { isWithin } from '../streams/json.js';
import { GATEWAY_HTTP } from '../tunables/index.js';
import { bodiesTooLarge, bodyTooLarge, collectBody, cutLongUpload } from './body.js';
import { textOf, unpack } from './content.js';
import type { Shares } from './shares.js';

/** Bytes of requests whose body counts until they are answered. */
const held = new WeakMap<IncomingMessage, number>();

export function releaseBody(request: IncomingMessage, bodies: Shares): void {
  bodies.give(request.socket, held.get(request) ?? 0);
  held.delete(request);
}

/** Its body counts until the work is done, also when its client has left: whoever works has it in memory. */
export async function whileWorking<T>(
  request: IncomingMessage,
  bodies: Shares,
  work: () => Promise<T>,
): Promise<T> {
  const bytes = held.get(request) ?? 0;
  held.delete(request);
  try {
    return await work();
  } finally {
    bodies.give(request.socket, bytes);
  }
}

type Decode = (
  bytes: Buffer,
  contentType: string,
  done: (error: Error | null, body?: unknown) => void,
) => void;

/**
 * `bodies`: of all requests together, with those of calls. A route's own `bodyLimit` holds. Default: JSON, because
 * `curl -d` says of everything that it is a form.
 */
export function addBodyParser(server: FastifyInstance, bodies: Shares, decode: Decode = parseJson): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', (request, _payload, done) => {
    const { raw, routeOptions } = request;
    const maxBytes = routeOptions.bodyLimit;
    const length = raw.headers['content-length'];
    const declaredBytes = length === undefined ? undefined : Number(length);
    if (declaredBytes !== undefined && declaredBytes > maxBytes) {
      cutLongUpload(raw);
      done(bodyTooLarge(maxBytes));
      return;
    }
    collectBody(raw, declaredBytes, maxBytes, bodies, {
      onBody(bytes) {
        held.set(raw, bytes.length);
        const { 'content-encoding': codings, 'content-type': type = '' } = raw.headers;
        const decodeHeld = (plain: Buffer): void => {
          const more = decode === parseJson ? plain.length * GATEWAY_HTTP.jsonCopies : 0;
          const before = held.get(raw);
          // Of a client that has left, nothing counts any more.
          if (before !== undefined) {
            if (!bodies.take(raw.socket, more)) {
              done(bodiesTooLarge());
              return;
            }
            held.set(raw, before + more);
          }
          decode(plain, type, done);
        };
        if (codings === undefined) {
          decodeHeld(bytes);
          return;
        }
        // What it may come to: until it is answered, or, if its client leaves before, until that is known.
        if (!bodies.take(raw.socket, maxBytes)) {
          done(bodiesTooLarge());
          return;
        }
        unpack(bytes, codings, maxBytes, (error, plain) => {
          if (held.has(raw)) held.set(raw, bytes.length + maxBytes);
          else bodies.give(raw.socket, maxBytes);
          if (plain === undefined) done(error);
          else decodeHeld(plain);
        });
      },
      onRefused: done,
    });
  });
}

export const asBytes: Decode = (bytes, _contentType, done) => done(null, bytes);

function parseJson(bytes: Buffer, contentType: string, done: Parameters<Decode>[2]): void {
  let body: unknown;
  try {
    const text = textOf(bytes, contentType);
    if (!isWithin(text, GATEWAY_HTTP.json)) {
      const message = 'the request body goes too deep or has too many values';
      throw new NemoError('BAD_REQUEST', message, { hint: 'send one JSON object, with code as one text' });
    }
    body = text === '' ? undefined : JSON.parse(text);
  } catch (cause) {
    if (cause instanceof NemoError) {
      done(cause);
      return;
    }
    const message = `the request body is no JSON: ${(cause as Error).message.slice(0, 200)}`;
    done(new NemoError('BAD_REQUEST', message, { hint: 'send one JSON object', cause }));
    return;
  }
  done(null, body);
}
