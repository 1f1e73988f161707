/** Bodies of the API, bounded each and together: JSON, or the bytes as they came, whatever their Content-Type says. */

import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { NemoError } from '../errors.js';
import { bodyTooLarge, collectBody, cutLongUpload } from './body.js';
import type { Budget } from './budget.js';

/** Requests whose body counts until they are answered. */
const held = new WeakMap<IncomingMessage, () => void>();

export function releaseBody(request: IncomingMessage): void {
  held.get(request)?.();
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
    if (Number(raw.headers['content-length'] ?? 0) > maxBytes) {
      cutLongUpload(raw);
      done(bodyTooLarge(maxBytes));
      return;
    }
    collectBody(
      raw,
      maxBytes,
      bodies,
      ({ bytes, release }) => {
        held.set(raw, release);
        decode(bytes, done);
      },
      done,
    );
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
