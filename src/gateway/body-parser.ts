/** Bodies of the API, bounded each and together: JSON, or the bytes as they came, whatever their Content-Type says. */

import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { NemoError } from '../errors.js';
import { bodyTooLarge, collectBody, cutLongUpload } from './body.js';
import type { Budget } from './budget.js';

/** Bytes of requests whose body counts until they are answered. */
const held = new WeakMap<IncomingMessage, number>();

export function releaseBody(request: IncomingMessage, bodies: Budget): void {
  bodies.give(held.get(request) ?? 0);
  held.delete(request);
}

type Decode = (bytes: Buffer, done: (error: Error | null, body?: unknown) => void) => void;

/**
 * `bodies`: of all requests together, with those of calls. A route's own `bodyLimit` holds. Default: JSON, because
 * `curl -d` says of everything that it is a form.
 */
export function addBodyParser(server: FastifyInstance, bodies: Budget, decode: Decode = parseJson): void {
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
        decode(bytes, done);
      },
      onRefused: done,
    });
  });
}

export const asBytes: Decode = (bytes, done) => done(null, bytes);

function parseJson(bytes: Buffer, done: Parameters<Decode>[1]): void {
  const text = bytes.toString();
  let body: unknown;
  try {
    body = text === '' ? undefined : JSON.parse(text);
  } catch (cause) {
    const message = `the request body is no JSON: ${(cause as Error).message.slice(0, 200)}`;
    done(new NemoError('BAD_REQUEST', message, { hint: 'send one JSON object', cause }));
    return;
  }
  done(null, body);
}
