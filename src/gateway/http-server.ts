/**
 * The node HTTP server under the gateway. Checks of Host and Origin stand here, before any API sees a request;
 * calls of functions leave here, before fastify would route them.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { NemoError } from '../errors.js';
import type { FeedServer } from '../telemetry/feed-server.js';
import { GATEWAY_HTTP } from '../tunables.js';
import { rawErrorReply, sendError } from './error-reply.js';
import { changesState, FOREIGN_STATUS, foreignHost, foreignOrigin, type Guard } from './guard.js';
import { bodyTooLarge, INVOKE_PREFIX } from './native/invoke.js';

export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface HttpTimeouts {
  headersTimeoutMs: number;
  requestTimeoutMs: number;
}

export interface HttpServerParts {
  guard: Guard;
  /** `/function/...` */
  invoke: RequestHandler;
  /** Everything else. */
  rest: RequestHandler;
  bodyMaxBytes: number;
  timeouts: HttpTimeouts;
}

export function createHttpServer(parts: HttpServerParts): Server {
  const { guard, invoke, rest } = parts;
  const handle: RequestHandler = (request, response) => {
    const { host, origin } = hostAndOrigin(request.rawHeaders);
    if (!guard.hostAllowed(host)) return sendError(response, foreignHost(host), [], FOREIGN_STATUS);
    if (origin !== undefined && changesState(request.method!) && !guard.originAllowed(origin, host)) {
      return sendError(response, foreignOrigin(origin), [], FOREIGN_STATUS);
    }
    if (request.url!.startsWith(INVOKE_PREFIX)) invoke(request, response);
    else rest(request, response);
  };
  const { headersTimeoutMs, requestTimeoutMs } = parts.timeouts;
  const server = createServer(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(headersTimeoutMs, requestTimeoutMs) / 2,
      maxHeaderSize: GATEWAY_HTTP.headersMaxBytes,
    },
    handle,
  );
  // A client that asks first gets its refusal before it sends: then the connection cannot be used again.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    const limit = request.url!.startsWith(INVOKE_PREFIX) ? parts.bodyMaxBytes : GATEWAY_HTTP.deployMaxBytes;
    if (Number(request.headers['content-length'] ?? 0) > limit) {
      sendError(response, bodyTooLarge(limit), ['Connection', 'close']);
    } else {
      response.writeContinue();
      handle(request, response);
    }
  });
  return server;
}

/** Lets WebSocket upgrades of `/feed` through to the feed, and refuses all others. */
export function attachFeed(server: Server, guard: Guard, feed: FeedServer, stopping: () => boolean): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const { host, origin } = request.headers;
    const refuse = (error: NemoError, status: number, reason: string): void => {
      socket.on('error', () => undefined);
      socket.end(rawErrorReply(error, status, reason));
    };
    if (!guard.hostAllowed(host)) return refuse(foreignHost(host), FOREIGN_STATUS, 'Forbidden');
    if (!guard.originAllowed(origin, host)) return refuse(foreignOrigin(origin), FOREIGN_STATUS, 'Forbidden');
    if (request.url!.split('?', 1)[0] !== '/feed') {
      const hint = 'the one WebSocket of the agent is /feed';
      return refuse(new NemoError('NOT_FOUND', 'there is no WebSocket here', { hint }), 404, 'Not Found');
    }
    if (stopping() || feed.full) {
      const why = feed.full ? 'the feed has too many readers' : 'the agent is stopping';
      return refuse(
        new NemoError('OVERLOADED', why, { hint: 'try again later' }),
        503,
        'Service Unavailable',
      );
    }
    feed.accept(request, socket, head);
  });
}

/** What node's parser refuses, in the words of every other error. */
export function onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason, message] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [
          431,
          'Request Header Fields Too Large',
          `the headers are larger than ${GATEWAY_HTTP.headersMaxBytes} bytes`,
        ]
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout', 'the request did not arrive in time']
        : [400, 'Bad Request', 'this is no HTTP request'];
  const refusal = new NemoError('BAD_REQUEST', message as string, {
    hint: 'send an ordinary HTTP/1.1 request',
  });
  socket.end(rawErrorReply(refusal, status as number, reason as string), () => socket.destroy());
}

/** From the raw list, in one pass and without building node's own record of all headers. */
function hostAndOrigin(rawHeaders: readonly string[]): {
  host: string | undefined;
  origin: string | undefined;
} {
  let host: string | undefined;
  let origin: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && name.toLowerCase() === 'host') host ??= rawHeaders[i + 1];
    else if (name.length === 6 && name.toLowerCase() === 'origin') origin ??= rawHeaders[i + 1];
  }
  return { host, origin };
}
