/** Bodies of the API: each is JSON whatever its Content-Type says, because `curl -d` says that it is a form. */

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

/** `bodies`: of all requests together, with those of calls. A route's own `bodyLimit` holds. */
export function addBodyParser(server: FastifyInstance, bodies: Budget): void {
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
        parse(bytes.toString(), done);
      },
      onRefused: done,
    });
  });
}

function parse(text: string, done: (error: Error | null, body?: unknown) => void): void {
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
