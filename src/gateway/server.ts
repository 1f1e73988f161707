/**
 * The agent's one HTTP port: APIs, function calls, the feed and the console. Composes; decides nothing itself.
 */

import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type FastifyError, type FastifyInstance, fastify, LogController } from 'fastify';
import { asNemoError, NemoError } from '../errors.js';
import { printableJson } from '../printable.js';
import { CallCounts } from '../telemetry/call-counts.js';
import { type FeedCounts, FeedServer } from '../telemetry/feed-server.js';
import { GATEWAY_HTTP } from '../tunables.js';
import { sendError } from './error-reply.js';
import { Guard } from './guard.js';
import { attachFeed, createHttpServer, type HttpTimeouts, onClientError } from './http-server.js';
import { addFunctionRoutes } from './native/functions.js';
import { addImageRoutes } from './native/images.js';
import { bodyTooLarge, createInvokeHandler } from './native/invoke.js';
import { addLogRoutes } from './native/logs.js';
import { addObserveRoutes } from './native/observe.js';
import { addTraceRoutes } from './native/traces.js';
import type { Platform } from './platform.js';
import { StaticFiles } from './static-files.js';

export interface GatewayOptions {
  host: string;
  /** 0 takes any free port. */
  port: number;
  bodyMaxBytes: number;
  /** Where the built console lies; without it `/` is NOT_FOUND. */
  consoleDir?: string;
  /** Further names under which the agent may be called, without ports. */
  allowedHosts?: readonly string[];
  logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug';
  timeouts?: HttpTimeouts;
}

export interface Gateway {
  readonly url: string;
  readonly port: number;
  readonly feed: FeedCounts;
  /** Calls that do not come through HTTP (triggers) are counted here too. */
  readonly calls: CallCounts;
  /** Refuses new calls at once, lets running ones end for a few seconds, then closes every connection. */
  close(): Promise<void>;
}

/** Listens when it resolves. PORT_IN_USE if another program does. */
export async function createGateway(platform: Platform, options: GatewayOptions): Promise<Gateway> {
  let stopping = false;
  const isStopping = (): boolean => stopping;
  const guard = new Guard(options.host, options.allowedHosts ?? []);
  const calls = new CallCounts((name) => platform.registry.get(name) !== undefined);
  const feed = new FeedServer({ frame: () => platform.frame(), events: platform.events });
  const invoke = createInvokeHandler(platform, {
    bodyMaxBytes: options.bodyMaxBytes,
    stopping: isStopping,
    onCallEnded(functionName, error, timeline) {
      const durationS = timeline === undefined ? undefined : (timeline.endedMs - timeline.acceptedMs) / 1000;
      calls.record(functionName, error?.code, durationS, timeline?.start);
    },
  });

  let http!: Server;
  const timeouts = options.timeouts ?? GATEWAY_HTTP;
  const server = fastify({
    serverFactory: (rest) => {
      http = createHttpServer({ guard, invoke, rest, bodyMaxBytes: options.bodyMaxBytes, timeouts });
      return http;
    },
    requestTimeout: timeouts.requestTimeoutMs,
    clientErrorHandler: onClientError,
    // Fastify's own refusal has another form than our errors; connections end with their request anyway.
    return503OnClosing: false,
    frameworkErrors: (error, _request, reply) => {
      reply.hijack();
      sendError(reply.raw, refused(error));
    },
    logger: options.logLevel === 'silent' ? false : { level: options.logLevel, stream: PRINTABLE_STDERR },
    logController: new LogController({ disableRequestLogging: true }),
  }) as unknown as FastifyInstance;
  const methodsAt = watchRoutes(server);
  addBodyParser(server);
  addErrorReplies(server);
  addFunctionRoutes(server, platform);
  addImageRoutes(server, platform);
  const endLogs = addLogRoutes(server, platform);
  addTraceRoutes(server, platform);
  addObserveRoutes(server, platform, calls, isStopping);
  addConsole(server, options.consoleDir, methodsAt);
  platform.registry.onChange((name, spec) => {
    if (spec === undefined) calls.forget(name);
  });

  try {
    await server.listen({ host: options.host, port: options.port });
  } catch (cause) {
    feed.close();
    throw listenError(cause as NodeJS.ErrnoException, options);
  }
  attachFeed(http, guard, feed, isStopping);
  const { port } = http.address() as AddressInfo;
  let closed: Promise<void> | undefined;
  return {
    url: urlOf(options.host, port),
    port,
    feed: feed.counts,
    calls,
    close() {
      stopping = true;
      closed ??= closeAll(http, server, feed, endLogs);
      return closed;
    },
  };
}

/** Log lines quote what clients sent. */
const PRINTABLE_STDERR = { write: (line: string) => void process.stderr.write(printableJson(line)) };

/** An address that a program on this box can call. */
function urlOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

const CLOSE_LOOK_MS = 50;

async function closeAll(
  http: Server,
  server: FastifyInstance,
  feed: FeedServer,
  endLogs: () => void,
): Promise<void> {
  endLogs();
  feed.close();
  const cut = setTimeout(() => http.closeAllConnections(), GATEWAY_HTTP.closeGraceMs);
  // A connection whose last answer ends only now is kept alive by its client: nothing would ever close it.
  const idle = setInterval(() => http.closeIdleConnections(), CLOSE_LOOK_MS);
  await server.close();
  clearInterval(idle);
  clearTimeout(cut);
}

/** Every body is JSON whatever its Content-Type says: `curl -d` says it is a form. */
function addBodyParser(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, body === '' ? undefined : JSON.parse(body as string));
    } catch (cause) {
      const message = `the request body is no JSON: ${(cause as Error).message.slice(0, 200)}`;
      done(new NemoError('BAD_REQUEST', message, { hint: 'send one JSON object', cause }));
    }
  });
}

function addErrorReplies(server: FastifyInstance): void {
  server.setErrorHandler((thrown: FastifyError, request, reply) => {
    const error =
      thrown.code === 'FST_ERR_CTP_BODY_TOO_LARGE'
        ? bodyTooLarge(GATEWAY_HTTP.deployMaxBytes)
        : thrown.code?.startsWith('FST_') && (thrown.statusCode ?? 500) < 500
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

/** Call it before any route is added. Gives what may be done at a path: nothing if no route of any method leads there. */
function watchRoutes(server: FastifyInstance): (path: string) => string[] {
  const routes: Array<{ pattern: RegExp; method: string }> = [];
  server.addHook('onRoute', ({ url, method }) => {
    const pattern = new RegExp(`^${url.replace(/:\w+/g, '[^/]+')}$`);
    for (const one of [method].flat()) routes.push({ pattern, method: one });
  });
  return (path) => routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
}

function addConsole(
  server: FastifyInstance,
  directory: string | undefined,
  methodsAt: (path: string) => string[],
): void {
  const files = new StaticFiles(directory ?? '');
  server.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!;
    const ifNoneMatch = request.headers['if-none-match'];
    reply.hijack();
    const allowed = methodsAt(path).join(', ');
    if (allowed !== '') {
      const hint = `there is ${allowed}`;
      const error = new NemoError('BAD_REQUEST', `${request.method} is nothing for ${path}`, { hint });
      return sendError(reply.raw, error, ['Allow', allowed], 405);
    }
    try {
      files.send(path, request.method, ifNoneMatch, reply.raw);
    } catch (thrown) {
      sendError(reply.raw, asNemoError(thrown));
    }
  });
}

function listenError(cause: NodeJS.ErrnoException, { host, port }: GatewayOptions): NemoError {
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
