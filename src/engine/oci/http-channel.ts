/**
 * Calls to an image that is an HTTP server. What answers was written by strangers: heads and their number are bounded,
 * an answer that is more framing than content ends its sandbox, and one in tiny pieces is read slowly.
 */

import type { Socket } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import type { CallRequest } from '../../model/call.js';
import { NemoError } from '../../model/errors.js';
import type { ChannelEvents } from '../../sandbox/channel.js';
import type { LoadOptions, SandboxReply } from '../../sandbox/engine.js';
import { guarded, tellAll } from '../../sandbox/guarded.js';
import { checkHeaders, isStatus } from '../../sandbox/told.js';
import { Pace } from '../../streams/pace.js';
import { Valve } from '../../streams/valve.js';
import { CHANNEL, GATEWAY_HTTP, OCI } from '../../tunables/index.js';
import { answerInstead, forwardedHeaders, joinHeaders } from './intermediary.js';

const NOT_ACCEPTED = 'NOT_ACCEPTED';

interface OpenCall {
  reply: SandboxReply;
  controller: Dispatcher.DispatchController | undefined;
  /** Whoever cannot take more of its answer holds it. */
  valve: Valve;
  informational: number;
  /** Of the answer, some came. */
  answered: boolean;
  /** Its server was gone before it took the request. */
  untaken: boolean;
  request: Dispatcher.DispatchOptions;
  /** Of the request. */
  headers: Record<string, string>;
  allowedMs: number;
  attempts: number;
  /** What does the same twice, on a connection that was closed after it had waited: its server may never have seen it. */
  repeatable: boolean;
  /** How often something had come from the container when it was sent. */
  readsBefore: number;
}

/** A request of which so much was sent at once is read whole or not at all. */
const ONE_READ_BYTES = 4 * 1024;

export class HttpChannel {
  private readonly open = new Set<OpenCall>();
  /** Of those, how many were sent, and those that were not, in order. */
  private begun = 0;
  private readonly waiting: OpenCall[] = [];
  private pool: Pool | undefined;
  private concurrency = 1;
  private functionName = '';
  private ended = false;
  private loadedMs = 0;
  private readonly pace: Pace;
  /** Calls that are held because the container is read slowly; undefined: it is not. */
  private slowed: Set<OpenCall> | undefined;
  /** What may still come that is no content. */
  private framingBytes: number = OCI.framingMaxBytes;
  /** How often something came, from any connection; and which of them was the last on the connection that closed last. */
  private reads = 0;
  private lastOfClosed = 0;

  /** `connect`: undefined while nobody listens. */
  constructor(
    private readonly gate: Socket,
    private readonly events: ChannelEvents,
    private readonly connect: () => Socket | undefined,
  ) {
    this.pace = new Pace(
      { hold: () => this.slowDown(), release: () => this.goOn() },
      CHANNEL.tokensPerSecond,
    );
    gate.once(
      'data',
      guarded(events, () => {
        // Nothing else that it says is read.
        gate.pause();
        events.onReady({});
      }),
    );
    gate.on('error', () => {});
  }

  get inFlight(): number {
    return this.open.size;
  }

  load({ ref, concurrency = 1 }: LoadOptions): void {
    this.concurrency = concurrency;
    this.functionName = ref.key;
    this.gate.write('go\n');
    this.loadedMs = performance.now();
    this.awaitServer();
  }

  /** `allowedMs`: what the call may take from its begin. */
  call(
    { callId, method, path, query, headers, body }: CallRequest,
    allowedMs: number,
    reply: SandboxReply,
  ): void {
    const sent = forwardedHeaders(method, headers, { 'x-nemo-call-id': callId });
    if (sent === undefined) {
      answerInstead(reply);
      return;
    }
    const call: OpenCall = {
      reply,
      controller: undefined,
      valve: new Valve({
        pause: () => call.controller?.pause(),
        resume: () => call.controller?.resume(),
      }),
      informational: 0,
      answered: false,
      untaken: false,
      request: {
        path: query === '' ? path : `${path}?${query}`,
        method: method as 'GET',
        headers: sent,
        body: body.length === 0 && (method === 'GET' || method === 'HEAD') ? null : body,
      },
      headers: sent,
      allowedMs,
      attempts: 0,
      repeatable: false,
      readsBefore: 0,
    };
    this.open.add(call);
    this.pace.grant(CHANNEL.tokensPerCall);
    if (this.begun < this.concurrency) this.begin(call);
    else this.waiting.push(call);
  }

  /** It is sent now, so its time begins. */
  private begin(call: OpenCall): void {
    this.begun++;
    call.headers['x-nemo-deadline-ms'] = `${Date.now() + call.allowedMs}`;
    this.dispatch(call);
  }

  /** The call is over; the next one begins. False: it was over before. */
  private close(call: OpenCall): boolean {
    if (!this.open.delete(call)) return false;
    const place = this.waiting.indexOf(call);
    if (place >= 0) this.waiting.splice(place, 1);
    else {
      this.begun--;
      const next = this.waiting.shift();
      if (next !== undefined) this.begin(next);
    }
    return true;
  }

  private dispatch(call: OpenCall): void {
    call.attempts++;
    this.pool!.dispatch(call.request, this.handler(call));
  }

  /** The connection of a call that nobody waits for is closed: its server can see that, and the sandbox is free. */
  callersLeft(): void {
    for (const call of this.open) if (call.reply.gone) this.leave(call);
  }

  private leave(call: OpenCall): void {
    if (!this.close(call)) return;
    this.slowed?.delete(call);
    call.controller?.abort(new Error('the caller has left'));
    call.reply.onError(new NemoError('CALLER_LEFT', 'the caller has left'));
  }

  private handler(call: OpenCall): Dispatcher.DispatchHandler {
    const safely = (step: () => void): void => guarded(this.events, step)();
    return {
      onRequestStart: (controller) => {
        // It left while it waited for a connection.
        if (!this.open.has(call)) {
          controller.abort(new Error('the caller has left'));
          return;
        }
        call.controller = controller;
        call.readsBefore = this.reads;
        if (this.slowed !== undefined) this.holdSlow(call, this.slowed);
        if (call.valve.closed) controller.pause();
      },
      onResponseStart: (controller, status, answered) =>
        safely(() => {
          if (!this.open.has(call)) return;
          call.answered = true;
          this.pace.spend(1);
          this.allow(OCI.headMaxBytes);
          const refused = this.takeHead(call, status, answered);
          if (refused !== undefined) controller.abort(new Error(refused));
        }),
      onResponseData: (_controller, chunk) =>
        safely(() => {
          if (!this.open.has(call)) return;
          this.pace.spend(1);
          this.allow(chunk.length * OCI.framingPerByte);
          call.reply.onChunk(chunk);
          if (call.reply.gone) this.leave(call);
          else this.holdBack(call);
        }),
      onResponseEnd: () =>
        safely(() => {
          if (this.close(call)) call.reply.onEnd();
        }),
      // The end of the process is told in a moment, and says more.
      onResponseError: (_controller, error) => {
        call.untaken = !call.answered && wasNotTaken(call, error);
        call.repeatable = !call.answered && this.waitedBefore(call, error);
        const fail = guarded(this.events, () => this.failed(call, error));
        setTimeout(fail, OCI.lastWordsMs).unref();
      },
    };
  }

  /** What is wrong with the head, in words. */
  private takeHead(
    call: OpenCall,
    status: number,
    answered: Record<string, string | string[] | undefined>,
  ): string | undefined {
    // 103 Early Hints and its like: the answer is still to come.
    if (status < 200) {
      const tooMany = ++call.informational > OCI.informationalMax;
      return tooMany ? 'it sent too many informational answers' : undefined;
    }
    const headers = checkHeaders(joinHeaders(answered));
    if (!isStatus(status) || headers === undefined) return 'its answer has a head that is not HTTP';
    call.reply.onHead(status, headers);
    return undefined;
  }

  private holdBack({ reply, valve }: OpenCall): void {
    const { backlogBytes = 0, whenDrained } = reply;
    if (whenDrained === undefined || backlogBytes <= GATEWAY_HTTP.backlogPauseBytes) return;
    valve.hold();
    let waits = true;
    whenDrained(
      guarded(this.events, () => {
        if (!waits) return;
        waits = false;
        valve.release();
      }),
    );
  }

  private slowDown(): void {
    const slowed = new Set<OpenCall>();
    this.slowed = slowed;
    for (const call of this.open) this.holdSlow(call, slowed);
  }

  private holdSlow(call: OpenCall, slowed: Set<OpenCall>): void {
    slowed.add(call);
    call.valve.hold();
  }

  private goOn(): void {
    const { slowed } = this;
    this.slowed = undefined;
    // What was read meanwhile is handled at once, and may slow it down again.
    tellAll(slowed ?? [], ({ valve }) => valve.release());
  }

  private allow(bytes: number): void {
    this.framingBytes = Math.min(this.framingBytes + bytes, OCI.framingMaxBytes);
  }

  /** Counts what comes: endless names of chunks, say, are told to nobody by a parser. */
  private watch(socket: Socket): void {
    let before = socket.bytesRead;
    let last = 0;
    // Before the client hears of it, and says so to the call that was on it.
    socket.on('close', () => {
      this.lastOfClosed = last;
    });
    socket.on(
      'readable',
      guarded(this.events, () => {
        if (socket.bytesRead > before) last = ++this.reads;
        this.framingBytes -= socket.bytesRead - before;
        before = socket.bytesRead;
        if (this.framingBytes >= 0) return;
        socket.destroy();
        this.events.onViolation('it answered with far more framing than content');
      }),
    );
  }

  /** Whether the connection of this call had carried another, and nothing came on it since it carries this one. */
  private waitedBefore({ request: { method }, readsBefore }: OpenCall, error: Error): boolean {
    const { code = '' } = error as NodeJS.ErrnoException;
    const { lastOfClosed } = this;
    return IDEMPOTENT.has(method) && CLOSED.has(code) && lastOfClosed > 0 && lastOfClosed <= readsBefore;
  }

  endAll(errorFor: (started: boolean) => NemoError): void {
    this.ended = true;
    this.pace.stop();
    const calls = [...this.open];
    this.open.clear();
    this.waiting.length = 0;
    tellAll(calls.entries(), ([i, { reply, controller, untaken }]) => {
      reply.onError(errorFor(i < this.concurrency && !untaken));
      controller?.abort(new Error('the sandbox ended'));
    });
    void this.pool?.destroy().catch(() => {});
  }

  private failed(call: OpenCall, error: Error): void {
    if (!this.open.has(call)) return;
    // The container lives: its server had closed a connection that was to be used again.
    if (call.untaken ? call.attempts < OCI.attemptsMax : call.repeatable && call.attempts === 1) {
      this.dispatch(call);
      return;
    }
    this.close(call);
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
      // Each look costs this thread some 100 us. A server that is slow to listen is found out a little later.
      const waitMs = (performance.now() - this.loadedMs) * OCI.acceptPollRatio;
      setTimeout(
        guarded(this.events, () => this.awaitServer()),
        Math.min(Math.max(waitMs, OCI.acceptPollMs), OCI.acceptPollMaxMs),
      ).unref();
      return;
    }
    // Its first connection is the one that the first call uses, unless the server has given up waiting for it by then.
    let first: Socket | undefined = socket;
    this.pool = new Pool('http://function.invalid', {
      connections: this.concurrency,
      pipelining: 1,
      maxHeaderSize: OCI.headMaxBytes,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: OCI.keepAliveMs,
      keepAliveMaxTimeout: OCI.keepAliveMs,
      connect: (_options, done) => {
        const connection = first !== undefined && isFresh(first) ? first : this.tryConnect();
        if (connection !== first) first?.destroy();
        first = undefined;
        // Not at once: the client is not ready for an answer before it has asked.
        if (connection !== undefined) {
          this.watch(connection);
          process.nextTick(done, null, connection);
        } else process.nextTick(done, notAccepted(), null);
      },
    });
    this.events.onLoaded(0);
  }

  private tryConnect(): Socket | undefined {
    // One that breaks before a call uses it is nobody's error.
    return this.connect()
      ?.setNoDelay(true)
      .on('error', () => {});
  }
}

/** What may be sent twice (RFC 9110, 9.2.2). */
const IDEMPOTENT = new Set<string>(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);
/** Codes of a connection that the other side has closed, the first of them without a reset. */
const CLOSED = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/**
 * The kernel resets a connection whose server closed it, or died, with something unread; one of which all was read is
 * closed without that. RFC 9110, 9.2.2: what was certainly not taken may be sent again.
 */
function wasNotTaken({ request: { body } }: OpenCall, error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  const short = body === null || (Buffer.isBuffer(body) && body.length <= ONE_READ_BYTES);
  return code === NOT_ACCEPTED || (short && (code === 'ECONNRESET' || code === 'EPIPE'));
}

/** Nothing was said on it, not even goodbye. */
function isFresh(socket: Socket): boolean {
  return !socket.destroyed && !socket.readableEnded && socket.readableLength === 0;
}

function notAccepted(): Error {
  return Object.assign(new Error('its server does not accept connections'), { code: NOT_ACCEPTED });
}
