/**
 * The agent's HTTP ports: APIs, function calls, the feed and the console on one, and if configured functions alone on
 * another, which is an origin of their own. Composes; decides nothing itself.
 */

import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type FastifyError, type FastifyInstance, fastify, LogController } from 'fastify';
import { asNemoError, NemoError } from '../model/errors.js';
import { type LogLevel, logger } from '../model/logger.js';
import type { Platform } from '../model/platform.js';
import type { CallCounts } from '../telemetry/call-counts.js';
import { type FeedCounts, FeedServer } from '../telemetry/feed-server.js';
import { FEED_SERVER, GATEWAY, GATEWAY_HTTP } from '../tunables/index.js';
import { Answers } from './answers.js';
import { addBodyParser, releaseBody } from './body-parser.js';
import { Callers } from './callers.js';
import { onClientError } from './client-errors.js';
import { addConsole, watchRoutes } from './console-routes.js';
import { sendError } from './error-reply.js';
import { Guard } from './guard.js';
import {
  createFunctionsServer,
  createHttpServer,
  type HttpServerParts,
  type HttpTimeouts,
} from './http-server.js';
import { type InvokeOptions, nativeApi } from './native/invoke.js';
import { addNativeRoutes } from './native/routes.js';
import { Shares } from './shares.js';
import { StaticFiles } from './static-files.js';
import { attachFeed, refuseWebSockets } from './upgrades.js';

export interface GatewayOptions {
  host: string;
  /** 0 takes any free port. */
  port: number;
  bodyMaxBytes: number;
  /** Where the built console lies; without it `/` is NOT_FOUND. */
  consoleDir?: string;
  /** Further names under which the agent may be called, without ports. */
  allowedHosts?: readonly string[];
  /** Pages of others that may use API and functions: `https://shop.example`. */
  allowedOrigins?: readonly string[];
  /** An origin of their own for functions: another port, on which nothing else answers, 0 for any free one. */
  functionsPort?: number;
  /** Or another name of this box, to which nothing else answers. */
  functionsHost?: string;
  logLevel: LogLevel;
  /** For /metrics: of all calls, also of those that do not come through HTTP. */
  calls: CallCounts;
  timeouts?: Partial<HttpTimeouts>;
  limits?: Partial<GatewayLimits>;
}

/** Of all clients together; defaults in `tunables/gateway.ts`. */
export interface GatewayLimits {
  connectionsMax: number;
  connectionsPerAddressMax: number;
  bodiesMaxBytes: number;
  backlogsMaxBytes: number;
  answerStallMs: number;
}

export interface Gateway {
  readonly url: string;
  readonly port: number;
  /** The functions' own origin, if they have a port of their own. */
  readonly functionsUrl: string | undefined;
  readonly feed: FeedCounts;
  /** Of answers that their callers have not taken. */
  readonly unsentBytes: number;
  /** Refuses new calls at once, lets running ones end for a few seconds, then closes every connection. */
  close(): Promise<void>;
}

/** Listens when it resolves. PORT_IN_USE if another program does. */
export async function createGateway(platform: Platform, options: GatewayOptions): Promise<Gateway> {
  let stopping = false;
  const isStopping = (): boolean => stopping;
  const guard = new Guard(options);
  const limits = { ...GATEWAY, ...GATEWAY_HTTP, ...options.limits };
  const callers = new Callers(limits);
  const bodies = new Shares('bodyBytes', limits.bodiesMaxBytes, callers);
  const readers = new Shares('feedReaders', FEED_SERVER.readersMax, callers);
  const followers = new Shares('logFollowers', GATEWAY_HTTP.logFollowersMax, callers);
  const answers = new Answers({
    smallBytes: GATEWAY_HTTP.backlogSmallBytes,
    largeBytes: GATEWAY_HTTP.backlogMaxBytes,
    allMaxBytes: limits.backlogsMaxBytes,
    stallMs: limits.answerStallMs,
  });
  const feed = new FeedServer({ frame: () => platform.frame(), events: platform.events });
  const invoking: InvokeOptions = {
    ...{ bodyMaxBytes: options.bodyMaxBytes, bodies, callers },
    stopping: isStopping,
  };
  const consoleFiles = new StaticFiles(options.consoleDir ?? '');
  const timeouts = { ...GATEWAY_HTTP, ...options.timeouts };
  const parts: Omit<HttpServerParts, 'rest'> = {
    ...{ guard, callers, answers, timeouts },
    apis: [nativeApi(platform, invoking)],
    isConsole: (path) => consoleFiles.has(path),
  };

  let http!: Server;
  const server = fastify({
    serverFactory: (rest) => {
      http = createHttpServer({ ...parts, rest: counted(callers, bodies, rest) });
      return http;
    },
    requestTimeout: timeouts.requestTimeoutMs,
    // A longer name of a function is refused as one.
    routerOptions: { maxParamLength: GATEWAY_HTTP.headersMaxBytes },
    clientErrorHandler: onClientError,
    // Fastify's own refusal has another form than our errors; connections end with their request anyway.
    return503OnClosing: false,
    frameworkErrors: (error, _request, reply) => {
      reply.hijack();
      sendError(reply.raw, refused(error));
    },
    ...(options.logLevel === 'silent'
      ? {}
      : { loggerInstance: logger.child({}, { level: options.logLevel }) }),
    logController: new LogController({ disableRequestLogging: true }),
  }) as unknown as FastifyInstance;
  server.addHook('onRequest', async (_request, { raw }) => {
    for (const [name, value] of API_HEADERS) raw.setHeader(name, value);
  });
  const methodsAt = watchRoutes(server);
  addBodyParser(server, bodies);
  addErrorReplies(server);
  const endLogs = addNativeRoutes(server, platform, {
    ...{ bodies, followers, calls: options.calls, stopping: isStopping },
  });
  addConsole(server, consoleFiles, methodsAt);

  let own: Server | undefined;
  try {
    await server.listen({ host: options.host, port: options.port });
    if (options.functionsPort !== undefined) {
      own = createFunctionsServer(parts);
      await listen(own, options.host, options.functionsPort);
    }
  } catch (cause) {
    feed.close();
    await server.close();
    throw cause instanceof NemoError ? cause : listenError(cause as NodeJS.ErrnoException, options);
  }
  attachFeed(http, guard, feed, readers, isStopping);
  const servers = own === undefined ? [http] : [http, own];
  const { port } = http.address() as AddressInfo;
  let closed: Promise<void> | undefined;
  return {
    url: urlOf(options.host, port),
    port,
    functionsUrl: own && urlOf(options.host, (own.address() as AddressInfo).port),
    feed: feed.counts,
    get unsentBytes() {
      return answers.bytes;
    },
    close() {
      stopping = true;
      closed ??= closeAll(servers, server, feed, endLogs);
      return closed;
    },
  };
}

/** Nothing of the API is a page, or a part of one. */
const API_HEADERS = [
  ['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'; sandbox"],
  ['X-Content-Type-Options', 'nosniff'],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
] as const;

/** An address that a program on this box can call. */
function urlOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

const CLOSE_LOOK_MS = 50;

/** Without fastify, which has no part in it. PORT_IN_USE, BAD_CONFIG. */
async function listen(server: Server, host: string, port: number): Promise<void> {
  server.on('clientError', onClientError);
  refuseWebSockets(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(cause, { host, port })));
    server.listen({ host, port }, resolve);
  });
}

/**
 * Requests that a connection waits for, of which a flood must not be taken: one after the other, so that nothing is made for
 * a client that does not read what is there.
 */
function counted(callers: Callers, bodies: Shares, rest: RequestListener): RequestListener {
  return (request, response) => {
    const caller = callers.of(request.socket);
    let over = false;
    const done = (): void => {
      if (over) return;
      over = true;
      caller.heard(one);
      releaseBody(request, bodies);
      caller.ended();
    };
    const probe = (): boolean => {
      if (response.headersSent || request.httpVersionMinor === 0) return false;
      response.writeContinue();
      return true;
    };
    const one = { left: done, probe };
    caller.waitsFor(one);
    request.once('end', () => caller.asked());
    response.once('close', done);
    caller.inOrder(() => {
      if (!request.socket.destroyed) rest(request, response);
    });
  };
}

async function closeAll(
  servers: readonly Server[],
  server: FastifyInstance,
  feed: FeedServer,
  endLogs: () => void,
): Promise<void> {
  endLogs();
  feed.close();
  const each = (close: (http: Server) => void) => () => servers.forEach(close);
  const cut = setTimeout(
    each((http) => http.closeAllConnections()),
    GATEWAY_HTTP.closeGraceMs,
  );
  // A connection whose last answer ends only now is kept alive by its client: nothing would ever close it.
  const idle = setInterval(
    each((http) => http.closeIdleConnections()),
    CLOSE_LOOK_MS,
  );
  const own = servers.slice(1).map((http) => new Promise((closed) => http.close(closed)));
  await Promise.all([server.close(), ...own]);
  clearInterval(idle);
  clearTimeout(cut);
}

function addErrorReplies(server: FastifyInstance): void {
  server.setErrorHandler((thrown: FastifyError, request, reply) => {
    const error =
      thrown.code?.startsWith('FST_') && (thrown.statusCode ?? 500) < 500
        ? refused(thrown)
        : asNemoError(thrown);
    if (error.code === 'INTERNAL') request.log.error(thrown);
    reply.hijack();
    sendError(reply.raw, error);
  });
}

function refused(cause: FastifyError): NemoError {
  return new NemoError('BAD_REQUEST', cause.message, { hint: 'see the API of the agent', cause });
}

function listenError(
  cause: NodeJS.ErrnoException,
  { host, port }: Pick<GatewayOptions, 'host' | 'port'>,
): NemoError {
  if (cause.code === 'EADDRINUSE') {
    return new NemoError('PORT_IN_USE', `another program listens on port ${port} of ${host}`, {
      hint: `stop it ('ss -ltnp sport = :${port}' names it) or choose another port in the configuration`,
      details: { port },
      cause,
    });
  }
  return new NemoError('BAD_CONFIG', `cannot listen on port ${port} of ${host}: ${cause.message}`, {
    hint: 'the host is an address of this box: 127.0.0.1, or 0.0.0.0 for all',
    cause,
  });
}
