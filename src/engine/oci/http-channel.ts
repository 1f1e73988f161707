/**
 * Calls to an image that is an HTTP server. What answers was written by strangers: heads and their number are bounded,
 * an answer that is more framing than content ends its sandbox, and one in tiny pieces is read slowly.
 */

import type { Socket } from 'node:net';
import type { Dispatcher, Pool } from 'undici';
import type { CallRequest } from '../../model/call.js';
import { NemoError } from '../../model/errors.js';
import type { ChannelEvents } from '../../sandbox/channel.js';
import type { LoadOptions, SandboxReply } from '../../sandbox/engine.js';
import { guarded, holdUntilDrained, settleAll } from '../../sandbox/guarded.js';
import { checkHeaders, isStatus } from '../../sandbox/reports.js';
import { ANSWERED_UNREAD, leavesUnread } from '../../sandbox/unread.js';
import { Pace } from '../../streams/pace.js';
import { Valve } from '../../streams/valve.js';
import { CHANNEL, GATEWAY_HTTP, OCI } from '../../tunables/index.js';
import { AnswerReads } from './answer-reads.js';
import { answerInstead, forwardedHeaders, joinHeaders } from './intermediary.js';
import { isRepeatable, wasNotTaken } from './repeats.js';
import { ServerConnections } from './server-connections.js';

interface OpenCall {
  reply: SandboxReply;
  controller: Dispatcher.DispatchController | undefined;
  /** Whoever cannot take more of its answer holds it. */
  valve: Valve;
  /** It is held for its caller, who is behind. */
  held: boolean;
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

export class HttpChannel {
  private readonly open = new Set<OpenCall>();
  /** Of those, how many were sent, and those that were not, in order. */
  private begun = 0;
  private readonly waiting: OpenCall[] = [];
  private pool: Pool | undefined;
  private concurrency = 1;
  private functionName = '';
  private readonly pace: Pace;
  /** Calls that are held because the container is read slowly; undefined: it is not. */
  private slowed: Set<OpenCall> | undefined;
  private readonly reads: AnswerReads;
  private readonly connections: ServerConnections;

  /** `connect`: undefined while nobody listens. */
  constructor(
    private readonly gate: Socket,
    private readonly events: ChannelEvents,
    connect: () => Socket | undefined,
  ) {
    this.reads = new AnswerReads(events);
    const onConnection = (socket: Socket): void => this.reads.watch(socket);
    this.connections = new ServerConnections({ connect, onConnection, endings: events });
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
    this.connections.await(concurrency, (pool) => {
      this.pool = pool;
      this.events.onLoaded(0);
    });
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
      held: false,
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
    const unread = leavesUnread(this.connections.waitingBytes, this.begun);
    this.begun++;
    if (unread) {
      call.untaken = true;
      this.events.onViolation(ANSWERED_UNREAD);
      return;
    }
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
        call.readsBefore = this.reads.count;
        if (this.slowed !== undefined) this.holdSlow(call, this.slowed);
        if (call.valve.closed) controller.pause();
      },
      onResponseStart: (controller, status, answered) =>
        safely(() => {
          if (!this.open.has(call)) return;
          call.answered = true;
          this.pace.spend(1);
          this.reads.allow(OCI.headMaxBytes);
          const refused = this.takeHead(call, status, answered);
          if (refused !== undefined) controller.abort(new Error(refused));
        }),
      onResponseData: (_controller, chunk) =>
        safely(() => {
          if (!this.open.has(call)) return;
          this.pace.spend(1);
          this.reads.allow(chunk.length * OCI.framingPerByte);
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
        call.untaken = !call.answered && wasNotTaken(call.request.body, error);
        call.repeatable = !call.answered && this.isRepeatable(call, error);
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

  private holdBack(call: OpenCall): void {
    const { backlogBytes = 0 } = call.reply;
    if (backlogBytes > GATEWAY_HTTP.backlogPauseBytes) holdUntilDrained(call, call.valve, this.events);
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
    settleAll(slowed ?? [], ({ valve }) => valve.release());
  }

  endAll(errorFor: (started: boolean) => NemoError): void {
    this.pace.stop();
    const calls = [...this.open];
    this.open.clear();
    this.waiting.length = 0;
    settleAll(calls.entries(), ([i, { reply, controller, untaken }]) => {
      reply.onError(errorFor(i < this.concurrency && !untaken));
      controller?.abort(new Error('the sandbox ended'));
    });
    this.connections.close();
  }

  private isRepeatable({ request, readsBefore }: OpenCall, error: Error): boolean {
    return isRepeatable(request.method, error) && this.reads.closedInSilence(readsBefore);
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
}
