/**
 * The node HTTP servers under the gateway. What a request may be, and who may send it, is checked here, before any API
 * sees it; calls of functions leave here, before fastify would route them. Functions may have a server of their own,
 * which knows nothing else.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterLastByte, boundUnsent, type Untaken } from '../linux/socket-options.js';
import { NemoError } from '../model/errors.js';
import { GATEWAY_HTTP } from '../tunables/index.js';
import { type Answers, countedResponse } from './answers.js';
import { type Api, apiOf, OWN_ORIGIN, SHARED_ORIGIN } from './api.js';
import type { AsksFirst } from './body.js';
import type { Callers } from './callers.js';
import { sendError } from './error-reply.js';
import { FOREIGN_STATUS, foreignHost, type Guard } from './guard.js';
import { answerForServer } from './methods.js';
import { type RequestSource, readRequestSource } from './request-source.js';
import { isAuthority, takeTarget } from './request-target.js';
import { letsGo, type MayOffer } from './upgrades.js';

type OfferHandler = (request: MayOffer, response: ServerResponse) => void;
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface HttpTimeouts {
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  /** A connection on which nothing is asked for so long is closed. */
  keepAliveTimeoutMs: number;
}

export interface HttpServerParts {
  guard: Guard;
  callers: Callers;
  answers: Answers;
  /** Calls of functions. */
  apis: readonly Api[];
  /** Everything else. */
  rest: RequestHandler;
  /** Whether a path, without its query, is a file of the console. */
  isConsole(path: string): boolean;
  timeouts: HttpTimeouts;
}

/** API, console and functions. */
export function createHttpServer(parts: HttpServerParts): Server {
  const { guard, apis, rest, isConsole } = parts;
  return listening(parts, (request, response, asker) => {
    const url = request.url!;
    const called = apiOf(apis, url);
    if (guard.isFunctionsHost(asker.host)) {
      if (called !== undefined) called.handle(request, response, OWN_ORIGIN);
      else sendError(response, onlyFunctions());
      return;
    }
    const area = called !== undefined ? 'function' : isConsole(pathOf(url)) ? 'console' : 'api';
    const refusal = guard.refusal(asker, request.method!, area);
    if (refusal !== undefined) return sendError(response, refusal, [], FOREIGN_STATUS);
    const { origin } = asker;
    if (origin !== undefined && guard.originGranted(origin)) {
      if (grant(request, response, origin)) return;
    }
    if (called !== undefined) called.handle(request, response, SHARED_ORIGIN);
    else rest(request, response);
  });
}

/** The functions' own: whoever asks, and from which page, is between them and their callers. */
export function createFunctionsServer(parts: Omit<HttpServerParts, 'rest' | 'isConsole'>): Server {
  return listening(parts, (request, response) => {
    const called = apiOf(parts.apis, request.url!);
    if (called !== undefined) called.handle(request, response, OWN_ORIGIN);
    else sendError(response, onlyFunctions());
  });
}

/** Of all servers. */
const UNTAKEN: Untaken = new Set();

function listening(
  { guard, callers, answers, timeouts }: Pick<HttpServerParts, 'guard' | 'callers' | 'answers' | 'timeouts'>,
  route: (request: IncomingMessage, response: ServerResponse, asker: RequestSource) => void,
): Server {
  /** Ends a flood of requests on one connection, whose answers nobody waits for: also of refused ones, behind one that takes its time. */
  const endsFlood = (request: IncomingMessage, response: ServerResponse): boolean => {
    // It is its turn.
    if (response.socket !== null) return false;
    const { socket } = request;
    const before = callers.of(socket).pending + answers.early(socket);
    if (before * weightOf(request) < GATEWAY_HTTP.pipelinedMax) return false;
    socket.destroy();
    return true;
  };
  const handle: OfferHandler = (request, response) => {
    if (request.offered) response.shouldKeepAlive = false;
    if (endsFlood(request, response)) return;
    const found = takeTarget(request);
    const asker = readRequestSource(request.rawHeaders);
    const { host, framing } = asker;
    if (!guard.hostAllowed(host)) {
      const status = host === undefined || isAuthority(host) ? FOREIGN_STATUS : 400;
      return sendError(response, foreignHost(host), [], status);
    }
    if (framing !== undefined && !isUsualFraming(framing, request.httpVersionMinor)) {
      return sendError(response, oddFraming(framing), ['Connection', 'close'], framingStatus(framing));
    }
    if (answerForServer(request, response)) return;
    // HTTP/0.9 has no headers.
    if (!found || request.httpVersionMajor !== 1) return sendError(response, notHere(request.method!));
    route(request, response, asker);
  };
  const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs } = timeouts;
  const server = createServer(
    {
      ServerResponse: countedResponse(answers),
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      connectionsCheckingInterval: Math.min(headersTimeoutMs, requestTimeoutMs) / 2,
      maxHeaderSize: GATEWAY_HTTP.headersMaxBytes,
      ...{ shouldUpgradeCallback: letsGo },
    },
    handle,
  );
  // All that fit: of those that node left out, nothing here would know, and its parser would go by them.
  server.maxHeadersCount = 0;
  boundUnsent(server, GATEWAY_HTTP.kernelUnsentBytes);
  server.on('connection', (socket) => afterLastByte(socket, () => {}, UNTAKEN, GATEWAY_HTTP.untakenMax));
  callers.watch(server);
  // A client that asks first is told to go on when its body is wanted; refused, it keeps the body, and the connection ends.
  server.on('checkContinue', (request: AsksFirst, response: ServerResponse) => {
    const { shouldKeepAlive } = response;
    response.shouldKeepAlive = false;
    request.goOn = () => {
      response.shouldKeepAlive = shouldKeepAlive;
      response.writeContinue();
    };
    handle(request, response);
  });
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    if (!endsFlood(request, response)) response.writeHead(417).end();
  });
  return server;
}

/** The one coding that there is (RFC 9112, 7), and not in a version that has none. */
function isUsualFraming(framing: string, minor: number): boolean {
  return (framing === 'chunked' || framing.toLowerCase() === 'chunked') && minor > 0;
}

/** Of codings that end with chunks it is known where the body ends (RFC 9112, 6.1 and 6.3). */
function framingStatus(framing: string): number {
  return /,\s*chunked$/i.test(framing) ? 501 : 400;
}

function oddFraming(framing: string): NemoError {
  return new NemoError('BAD_REQUEST', `Transfer-Encoding: ${framing.slice(0, 80)} is not taken`, {
    hint: 'send the body with its length, or in the chunks of HTTP/1.1 alone',
  });
}

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
