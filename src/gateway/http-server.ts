/**
 * The node HTTP servers under the gateway. What a request may be, and who may send it, is checked here, before any API
 * sees it; calls of functions leave here, before fastify would route them. Functions may have a server of their own,
 * which knows nothing else.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { NemoError } from '../errors.js';
import type { FeedServer } from '../telemetry/feed-server.js';
import { GATEWAY_HTTP } from '../tunables.js';
import { type Answers, countedResponse } from './answers.js';
import { type Asker, readAsker } from './asker.js';
import { bodyTooLarge } from './body.js';
import type { Callers } from './callers.js';
import { rawErrorReply, sendError } from './error-reply.js';
import { FOREIGN_STATUS, foreignHost, type Guard } from './guard.js';
import { INVOKE_PREFIX } from './native/invoke.js';

export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface HttpTimeouts {
  headersTimeoutMs: number;
  requestTimeoutMs: number;
}

export interface HttpServerParts {
  guard: Guard;
  callers: Callers;
  answers: Answers;
  /** `/function/...` on the origin of API and console. */
  invoke: RequestHandler;
  /** `/function/...` where functions have an origin of their own. */
  invokeOwn: RequestHandler;
  /** Everything else. */
  rest: RequestHandler;
  /** Whether a path, without its query, is a file of the console. */
  isConsole(path: string): boolean;
  bodyMaxBytes: number;
  timeouts: HttpTimeouts;
}

/** API, console and functions. */
export function createHttpServer(parts: HttpServerParts): Server {
  const { guard, invoke, invokeOwn, rest, isConsole } = parts;
  return listening(parts, (request, response, asker) => {
    const url = request.url!;
    const calls = url.startsWith(INVOKE_PREFIX);
    if (guard.isFunctionsHost(asker.host)) {
      if (calls) invokeOwn(request, response);
      else sendError(response, onlyFunctions());
      return;
    }
    const area = calls ? 'function' : isConsole(pathOf(url)) ? 'console' : 'api';
    const refusal = guard.refusal(asker, request.method!, area);
    if (refusal !== undefined) return sendError(response, refusal, [], FOREIGN_STATUS);
    const { origin } = asker;
    if (origin !== undefined && guard.originGranted(origin)) {
      if (grant(request, response, origin)) return;
    }
    if (calls) invoke(request, response);
    else rest(request, response);
  });
}

/** The functions' own: whoever asks, and from which page, is between them and their callers. */
export function createFunctionsServer(parts: HttpServerParts): Server {
  return listening(parts, (request, response) => {
    if (request.url!.startsWith(INVOKE_PREFIX)) parts.invokeOwn(request, response);
    else sendError(response, onlyFunctions());
  });
}

function listening(
  { guard, callers, answers, bodyMaxBytes, timeouts }: HttpServerParts,
  route: (request: IncomingMessage, response: ServerResponse, asker: Asker) => void,
): Server {
  const handle: RequestHandler = (request, response) => {
    // A flood of requests on one connection, whose answers nobody waits for.
    const { pending } = callers.of(request.socket);
    if (pending > 0 && pending * weightOf(request) >= GATEWAY_HTTP.pipelinedMax) {
      request.socket.destroy();
      return;
    }
    const asker = readAsker(request.rawHeaders);
    if (!guard.hostAllowed(asker.host)) {
      return sendError(response, foreignHost(asker.host), [], FOREIGN_STATUS);
    }
    const { url, method, httpVersionMajor } = request;
    // `GET http://...` is for proxies; TRACE would show a page what it must not see; HTTP/0.9 has no headers.
    if (url!.charCodeAt(0) !== SLASH || method === 'TRACE' || httpVersionMajor !== 1) {
      return sendError(response, notHere(method!));
    }
    route(request, response, asker);
  };
  const { headersTimeoutMs, requestTimeoutMs } = timeouts;
  const server = createServer(
    {
      ServerResponse: countedResponse(answers),
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(headersTimeoutMs, requestTimeoutMs) / 2,
      maxHeaderSize: GATEWAY_HTTP.headersMaxBytes,
    },
    handle,
  );
  callers.watch(server);
  // A client that asks first gets its refusal before it sends: then the connection cannot be used again.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    const limit = request.url!.startsWith(INVOKE_PREFIX) ? bodyMaxBytes : GATEWAY_HTTP.deployMaxBytes;
    if (Number(request.headers['content-length'] ?? 0) > limit) {
      sendError(response, bodyTooLarge(limit), ['Connection', 'close']);
    } else {
      response.writeContinue();
      handle(request, response);
    }
  });
  return server;
}

const SLASH = 47;

/** Of one that waits behind others: an ordinary one counts once, one with long headers as often as they are longer. */
function weightOf({ url, rawHeaders }: IncomingMessage): number {
  let bytes = url!.length;
  for (const text of rawHeaders) bytes += text.length;
  return Math.max(1, bytes / GATEWAY_HTTP.pipelinedHeadBytes);
}

/** A configured page may read the answer. True if it only asked whether it may ask: then that is answered. */
function grant(request: IncomingMessage, response: ServerResponse, origin: string): boolean {
  response.setHeader('Access-Control-Allow-Origin', origin);
  response.setHeader('Vary', 'Origin');
  const { headers, method } = request;
  if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) {
    response.setHeader('Access-Control-Expose-Headers', EXPOSED);
    return false;
  }
  response.setHeader('Access-Control-Allow-Methods', headers['access-control-request-method']);
  const wanted = headers['access-control-request-headers'];
  if (wanted !== undefined) response.setHeader('Access-Control-Allow-Headers', wanted);
  response.setHeader('Access-Control-Max-Age', GATEWAY_HTTP.grantMaxAgeS);
  response.writeHead(204).end();
  return true;
}

const EXPOSED = 'X-Call-Id, X-Duration-Seconds, X-Nemo-Start, X-Nemo-Error, Retry-After';

function onlyFunctions(): NemoError {
  return new NemoError('NOT_FOUND', 'here are functions and nothing else', {
    hint: 'they are at /function/<name>; API and console have an address of their own',
  });
}

function notHere(method: string): NemoError {
  return new NemoError('BAD_REQUEST', `this ${method} is not for a server of this kind`, {
    hint: 'send an ordinary HTTP/1.1 request with a path',
  });
}

function pathOf(url: string): string {
  const queryAt = url.indexOf('?');
  return queryAt === -1 ? url : url.slice(0, queryAt);
}

/** Lets WebSocket upgrades of `/feed` through to the feed, and refuses all others. */
export function attachFeed(server: Server, guard: Guard, feed: FeedServer, stopping: () => boolean): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const refuse = refuser(socket);
    const asker = readAsker(request.rawHeaders);
    if (!guard.hostAllowed(asker.host)) return refuse(foreignHost(asker.host), FOREIGN_STATUS, 'Forbidden');
    if (pathOf(request.url!) !== '/feed' || guard.isFunctionsHost(asker.host)) {
      return refuse(noWebSocket(), 404, 'Not Found');
    }
    const refusal = guard.refusal(asker, request.method!, 'api');
    if (refusal !== undefined) return refuse(refusal, FOREIGN_STATUS, 'Forbidden');
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

/** Where functions have a server of their own, it upgrades nothing. */
export function refuseUpgrades(server: Server): void {
  server.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
    refuser(socket)(noWebSocket(), 404, 'Not Found');
  });
}

function refuser(socket: Duplex): (error: NemoError, status: number, reason: string) => void {
  return (error, status, reason) => {
    socket.on('error', () => undefined);
    socket.end(rawErrorReply(error, status, reason), () => socket.destroy());
  };
}

function noWebSocket(): NemoError {
  const hint = 'the one WebSocket of the agent is /feed';
  return new NemoError('NOT_FOUND', 'there is no WebSocket here', { hint });
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
