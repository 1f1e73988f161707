/**
 * Calls to an image that is an HTTP server. It listens in its own network namespace, which no packet enters or leaves:
 * the connection is made by this thread stepping into that namespace for the moment of a connect().
 */

import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { Pool } from 'undici';
import { NemoError } from '../../../errors.js';
import type { CallRequest } from '../../../invoke/function.js';
import type { Cgroup } from '../../../linux/cgroup/driver.js';
import {
  close,
  connect,
  errno,
  errnoName,
  fail,
  getsockopt,
  socket as openSocket,
  poll,
} from '../../../linux/libc.js';
import { insideNamespace } from '../../../linux/netns.js';
import { openNetworkNamespace } from '../../../network/namespace-of.js';
import { GATEWAY_HTTP, OCI } from '../../../tunables.js';
import type { LoadOptions, SandboxReply } from '../../engine.js';
import { type ChannelEvents, HOP_BY_HOP } from '../process/channel.js';

interface OpenCall {
  reply: SandboxReply;
  abort(): void;
}

export class HttpChannel {
  private readonly open = new Set<OpenCall>();
  private pool: Pool | undefined;
  private concurrency = 1;
  private functionName = '';
  private ended = false;

  constructor(
    private readonly gate: Socket,
    private readonly events: ChannelEvents,
    private readonly cgroup: Cgroup,
    private readonly port: number,
  ) {
    gate.once('data', () => events.onReady({}));
    gate.on('error', () => {});
  }

  get inFlight(): number {
    return this.open.size;
  }

  load({ functionName, concurrency = 1 }: LoadOptions): void {
    this.concurrency = concurrency;
    this.functionName = functionName;
    this.gate.write('go\n');
    this.awaitServer();
  }

  call(
    { callId, method, path, query, headers, body }: CallRequest,
    remainingMs: number,
    reply: SandboxReply,
  ): void {
    const sent: Record<string, string> = {
      'x-nemo-call-id': callId,
      'x-nemo-deadline-ms': `${Date.now() + remainingMs}`,
    };
    for (const [name, value] of Object.entries(headers)) {
      if (!HOP_BY_HOP.has(name) && name !== 'content-length' && name !== 'expect') sent[name] = value;
    }
    let stop: (reason: Error) => void = () => {};
    const call: OpenCall = { reply, abort: () => stop(new Error('the sandbox ended')) };
    this.open.add(call);
    const bodiless = body.length === 0 && (method === 'GET' || method === 'HEAD');
    this.pool!.dispatch(
      {
        path: query === '' ? path : `${path}?${query}`,
        method: method as 'GET',
        headers: sent,
        body: bodiless ? null : body,
      },
      {
        onRequestStart: (controller) => {
          stop = (reason) => controller.abort(reason);
        },
        onResponseStart: (_controller, status, answered) => {
          if (this.open.has(call)) reply.onHead(status, answerHeaders(answered));
        },
        onResponseData: (controller, chunk) => {
          if (!this.open.has(call)) return;
          reply.onChunk(chunk);
          if (reply.whenDrained === undefined || (reply.backlogBytes ?? 0) <= GATEWAY_HTTP.backlogPauseBytes)
            return;
          controller.pause();
          reply.whenDrained(() => controller.resume());
        },
        onResponseEnd: () => {
          if (this.open.delete(call)) reply.onEnd();
        },
        // The end of the process is told in a moment, and says more.
        onResponseError: (_controller, error) => {
          setTimeout(() => this.failed(call, error), OCI.lastWordsMs).unref();
        },
      },
    );
  }

  endAll(errorFor: (started: boolean) => NemoError): void {
    this.ended = true;
    const calls = [...this.open];
    this.open.clear();
    for (const [i, call] of calls.entries()) {
      call.reply.onError(errorFor(i < this.concurrency));
      call.abort();
    }
    void this.pool?.destroy().catch(() => {});
  }

  private failed(call: OpenCall, error: Error): void {
    if (!this.open.delete(call)) return;
    call.reply.onError(
      new NemoError('FUNCTION_ERROR', `${this.functionName} did not answer a call: ${error.message}`, {
        hint: 'answer every HTTP request; `nemo logs` shows what the image printed',
      }),
    );
  }

  /** Until its server accepts; whoever loads it has a time limit. */
  private awaitServer(): void {
    if (this.ended) return;
    const socket = this.tryConnect();
    if (socket === undefined) {
      setTimeout(() => this.awaitServer(), OCI.acceptPollMs).unref();
      return;
    }
    // Its first connection is the one that the first call uses, unless the server has given up waiting for it by then.
    let first: Socket | undefined = socket;
    this.pool = new Pool('http://function.invalid', {
      connections: this.concurrency,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: OCI.keepAliveMs,
      keepAliveMaxTimeout: OCI.keepAliveMs,
      connect: (_options, done) => {
        const connection = first !== undefined && isFresh(first) ? first : this.tryConnect();
        if (connection !== first) first?.destroy();
        first = undefined;
        // Not at once: the client is not ready for an answer before it has asked.
        if (connection !== undefined) process.nextTick(done, null, connection);
        else process.nextTick(done, new Error('its server does not accept connections'), null);
      },
    });
    this.events.onLoaded(0);
  }

  private tryConnect(): Socket | undefined {
    const namespace = openNetworkNamespace(this.cgroup);
    if (namespace === undefined) return undefined;
    try {
      const fd = insideNamespace(namespace, () => connectLoopback(this.port));
      if (fd < 0) return undefined;
      // One that breaks before a call uses it is nobody's error.
      return new Socket({ fd, readable: true, writable: true }).setNoDelay(true).on('error', () => {});
    } catch {
      // Its last process has just ended.
      return undefined;
    } finally {
      closeSync(namespace);
    }
  }
}

/** Nothing was said on it, not even goodbye. */
function isFresh(socket: Socket): boolean {
  return !socket.destroyed && !socket.readableEnded && socket.readableLength === 0;
}

const AF_INET = 2;
const POLLOUT = 4;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;

/** A connected descriptor, or -1 if nobody listens. Loopback answers at once; one that does not is full. */
function connectLoopback(port: number): number {
  const fd = openSocket(AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) fail('socket', 'a sandbox');
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  address.set([127, 0, 0, 1], 4);
  if (connect(fd, address, address.length) === 0) return fd;
  if (errnoName(errno()) === 'EINPROGRESS' && isConnected(fd)) return fd;
  close(fd);
  return -1;
}

function isConnected(fd: number): boolean {
  const request = Buffer.alloc(8);
  request.writeInt32LE(fd, 0);
  request.writeInt16LE(POLLOUT, 4);
  if (poll(request, 1, OCI.connectWaitMs) !== 1) return false;
  const error = new Uint8Array(4);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, error, [4]) === 0 && error[0] === 0;
}

function answerHeaders(answered: Record<string, string | string[] | undefined>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(answered)) {
    if (value === undefined || HOP_BY_HOP.has(name) || name === '__proto__') continue;
    // The one header that may come several times: its values are joined by newlines.
    headers[name] = Array.isArray(value) ? value.join(name === 'set-cookie' ? '\n' : ', ') : value;
  }
  return headers;
}
