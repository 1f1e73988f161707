/**
 * The agent's end of a sandbox's socket. Whatever arrives was written by the function's own process: lengths are
 * bounded, text is checked, a frame that nobody asked for is counted and ignored, and a peer that sends more than its
 * calls need is read slowly. The types of frames and what each may hold are a closed list.
 */

import type { Socket } from 'node:net';
import type { CallRequest } from '../model/call.js';
import { NemoError } from '../model/errors.js';
import { functionRef } from '../model/function-ref.js';
import {
  BODY_MAX_BYTES,
  EMPTY,
  FrameDecoder,
  FrameError,
  type FrameHeader,
  FrameType,
  FrameWriter,
  META_MAX_BYTES,
  utf8,
} from '../runner/frames.js';
import { parseObject } from '../streams/json.js';
import { LentRead } from '../streams/lent-bytes.js';
import { Pace } from '../streams/pace.js';
import { Valve } from '../streams/valve.js';
import { CHANNEL, GATEWAY_HTTP, ISOLATE, POOL } from '../tunables/index.js';
import { Deferred, notTaken } from './ends.js';
import type { LoadOptions, SandboxReply } from './engine.js';
import { type Endings, guarded, tellAll } from './guarded.js';
import { headersOf, isStatus, parseHeaders } from './told.js';
import { callError, loadError } from './told-errors.js';

interface OpenCall {
  reply: SandboxReply;
  headSent: boolean;
  /** Its reader has left, and the runner was told. */
  cancelled: boolean;
  /** Chunks since its reader had none left to take. */
  unreadChunks: number;
  /** Nothing is read until its reader has taken what there is. */
  held: boolean;
}

/** Outcome of a stem's start or of a load, as the runner told it. */
export interface ChannelEvents extends Endings {
  /** `hello`: what the runner said of itself. */
  onReady(hello: Record<string, unknown>): void;
  /** `kind`: of the frame. */
  onLoaded(kind: number): void;
  onLoadFailed(error: NemoError): void;
  /** Printed text, of runners that have no pipe for it; `stream` is 1 or 2. */
  onLog?(stream: number, text: Buffer): void;
  onMemory?(kib: number): void;
  /** A call has its whole answer. */
  onAnswered?(): void;
  /** It was told to load a path whose code it does not have. */
  onWanted?(): void;
}

const REHEARSAL = {
  ref: functionRef('rehearsal'),
  env: {},
  memoryBytes: POOL.memoryMaxDefaultBytes,
  timeoutMs: 1_000,
};
const REHEARSAL_CALL: CallRequest = {
  callId: 'rehearsal',
  ref: REHEARSAL.ref,
  method: 'POST',
  path: '/',
  query: '',
  headers: { 'content-type': 'application/json' },
  body: Buffer.from('{}'),
};

export class Channel {
  /** Calls sent and not ended, oldest first. */
  private readonly open = new Map<number, OpenCall>();
  private readonly writer: FrameWriter;
  private nextCallId = 1;
  private flushPlanned = false;
  private concurrency = 1;
  private functionName = '';
  private rehearsal: Deferred | undefined;
  private readonly pace: Pace;
  /** What the peer was asked for and has not said yet: how often each may come. */
  private loadsAsked = 0;
  private forgetsAsked = 0;
  /** It broke off: whatever it still says is not looked at. */
  private over = false;
  /** It takes no call any more. */
  private ending = false;
  /** Its socket was closed before it had read all that was sent. */
  private unread = false;
  /** Whoever cannot take more of what the sandbox says holds it: its socket fills, and the function waits. */
  readonly valve: Valve;
  private readonly lent = new LentRead();
  /** Frames ignored so far. */
  strayFrames = 0;

  /** `readysAsked`: 0 for a peer that said that it is there before this channel was. */
  constructor(
    socket: Socket,
    private readonly events: ChannelEvents,
    private readysAsked = 1,
  ) {
    this.valve = new Valve(socket);
    this.pace = new Pace(this.valve, CHANNEL.tokensPerSecond);
    this.writer = new FrameWriter((bytes) => socket.write(bytes));
    const decoder = new FrameDecoder(
      (header, meta, body) => this.take(header, meta, body),
      ({ callId }) => (this.open.has(callId) ? META_MAX_BYTES + BODY_MAX_BYTES : CHANNEL.controlMaxBytes),
    );
    const ends: Endings = {
      onViolation: (reason) => {
        this.breakOff();
        events.onViolation(reason);
      },
      onFault: (error) => {
        this.breakOff();
        events.onFault(error);
      },
    };
    socket.on(
      'data',
      guarded<Buffer>(ends, (bytes) => {
        if (this.over) return;
        this.pace.spend(CHANNEL.tokensPerRead);
        this.lent.begin(bytes);
        decoder.push(bytes);
        this.lent.end();
      }),
    );
    socket.once('close', () => this.pace.stop());
    // Its end is told by the process. The kernel says so of a socket of which its owner left something unread.
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNRESET' || code === 'EPIPE') this.unread = true;
    });
  }

  private breakOff(): void {
    if (!this.over) this.valve.hold();
    this.over = true;
  }

  get inFlight(): number {
    return this.open.size;
  }

  /**
   * Lets the runner load and call a function of ours and forget it again: whatever compiles itself at its first use
   * does so now. Rejects with what kept it from being loaded; never settles if the sandbox ends meanwhile.
   */
  async rehearse(path: string, code?: Buffer): Promise<void> {
    this.load({ ...REHEARSAL, bundlePath: path }, path, code);
    await this.rehearsed();
    for (let i = 0; i < ISOLATE.rehearsalCalls; i++) {
      await new Promise<void>((resolve) => {
        const nothing = (): void => {};
        const reply = { onHead: nothing, onChunk: nothing, onEnd: resolve, onError: () => resolve() };
        this.call(REHEARSAL_CALL, REHEARSAL.timeoutMs, reply);
      });
    }
    this.forget(0);
    await this.rehearsed();
  }

  /** The runner did the next step of its rehearsal. */
  private async rehearsed(): Promise<void> {
    this.rehearsal = new Deferred();
    await this.rehearsal.promise;
    this.rehearsal = undefined;
  }

  /** `code`: for a runner that sees no file at `path`. Throws RangeError above the bounds of a frame. */
  load(options: LoadOptions, path: string, code: Buffer = EMPTY, number = 0): void {
    const { env, memoryBytes, concurrency = 1 } = options;
    const functionName = options.ref.key;
    this.concurrency = concurrency;
    this.functionName = functionName;
    const meta = JSON.stringify({ functionName, path, env, concurrency, memoryBytes });
    this.loadsAsked++;
    this.send(FrameType.load, number, 0, meta, code);
  }

  /** Calls are of the function of that number from now on. Only while none is in flight. */
  select({ ref, concurrency = 1 }: LoadOptions, number: number): void {
    this.concurrency = concurrency;
    this.functionName = ref.key;
    this.send(FrameType.select, number, 0, '', EMPTY);
  }

  forget(number: number): void {
    this.forgetsAsked++;
    this.send(FrameType.forget, number, 0, '', EMPTY);
  }

  /** Before a snapshot. Answered by `onReady`. */
  settle(): void {
    this.readysAsked++;
    this.send(FrameType.settle, 0, 0, '', EMPTY);
  }

  /** In place of `load`, where the runner has its function already. Answered by `onLoaded`. */
  wake({ ref, concurrency = 1 }: LoadOptions): void {
    this.concurrency = concurrency;
    this.functionName = ref.key;
    this.loadsAsked++;
    this.send(FrameType.wake, 0, 0, '', EMPTY);
  }

  /** `allowedMs`: what the call may take from its begin. */
  call(call: CallRequest, allowedMs: number, reply: SandboxReply): void {
    if (this.ending) {
      reply.onError(notTaken(this.functionName));
      return;
    }
    const id = this.nextCallId;
    this.nextCallId = id === 0xffffffff ? 1 : id + 1;
    const { callId, method, path, query, headers, body } = call;
    const timeMs = Math.min(Math.max(Math.ceil(allowedMs), 0), 0xffffffff);
    try {
      this.send(FrameType.call, id, timeMs, JSON.stringify({ callId, method, path, query, headers }), body);
      this.open.set(id, { reply, headSent: false, cancelled: false, unreadChunks: 0, held: false });
      this.pace.grant(CHANNEL.tokensPerCall);
    } catch (error) {
      reply.onError(
        new NemoError(
          'BODY_TOO_LARGE',
          `a call of ${this.functionName} cannot be sent: ${(error as Error).message}`,
        ),
      );
    }
  }

  /** Whose readers are gone is told to the runner. */
  callersLeft(): void {
    for (const [id, call] of this.open) if (call.reply.gone) this.cancel(id, call);
  }

  /** A stream without an end would otherwise run, for nobody, until its time is up. */
  private cancel(id: number, call: OpenCall): void {
    if (call.cancelled) return;
    call.cancelled = true;
    this.send(FrameType.cancel, id, 0, '', EMPTY);
  }

  /** Ends all open calls; `errorFor` is told whether the call may have been started. */
  endAll(errorFor: (started: boolean) => NemoError): void {
    const calls = [...this.open.values()];
    this.open.clear();
    // The runner starts calls in order and answers one before it starts the next beyond its concurrency. What it left
    // unread ends with the call that was sent last.
    const mayHaveBegun = Math.min(this.concurrency, this.unread ? calls.length - 1 : calls.length);
    tellAll(calls.entries(), ([i, { reply }]) => reply.onError(errorFor(i < mayHaveBegun)));
  }

  /** What it has not begun it will not begin. */
  private handBack(begunId: number): void {
    this.ending = true;
    const waiting = [...this.open].filter(([id]) => ((id - begunId) | 0) > 0);
    for (const [id] of waiting) this.open.delete(id);
    tellAll(waiting, ([, { reply }]) => reply.onError(notTaken(this.functionName)));
  }

  /** Frames of one turn leave in one write. */
  private send(type: number, callId: number, timeMs: number, meta: string, body: Buffer): void {
    this.writer.add(type, 0, 0, callId, timeMs, meta, body);
    if (this.flushPlanned) return;
    this.flushPlanned = true;
    process.nextTick(() => {
      this.flushPlanned = false;
      this.writer.flush();
    });
  }

  private take(header: FrameHeader, meta: Buffer, body: Buffer): void {
    if (this.over) return;
    this.pace.spend(1);
    if (header.type !== FrameType.chunk) this.lent.keep();
    const call = this.open.get(header.callId);
    const makesSense =
      call === undefined ? this.takeControl(header, meta, body) : this.takeAnswer(call, header, meta, body);
    if (!makesSense) this.stray();
  }

  /** False if nobody asked for the frame. */
  private takeControl(header: FrameHeader, meta: Buffer, body: Buffer): boolean {
    if (header.callId !== 0) return false;
    const { events, rehearsal } = this;
    switch (header.type) {
      case FrameType.log:
        events.onLog?.(header.kind, body);
        return events.onLog !== undefined;
      case FrameType.memory:
        events.onMemory?.(header.timeMs);
        return events.onMemory !== undefined;
      case FrameType.ending:
        if (this.ending) return false;
        this.handBack(header.timeMs);
        return true;
      case FrameType.ready:
        if (this.readysAsked === 0) return false;
        this.readysAsked--;
        events.onReady(parseObject(utf8(meta), CHANNEL.hello) ?? {});
        return true;
      case FrameType.forgotten:
        if (this.forgetsAsked === 0) return false;
        this.forgetsAsked--;
        rehearsal?.resolve();
        return true;
      case FrameType.loaded:
      case FrameType.loadFailed:
      case FrameType.wanted:
        if (this.loadsAsked === 0) return false;
        this.loadsAsked--;
        this.takeLoaded(header, meta);
        return true;
      default:
        return false;
    }
  }

  private takeLoaded({ type, kind }: FrameHeader, meta: Buffer): void {
    const { events, rehearsal } = this;
    if (type === FrameType.wanted) events.onWanted?.();
    else if (type === FrameType.loaded) {
      if (rehearsal === undefined) events.onLoaded(kind);
      else rehearsal.resolve();
    } else if (rehearsal === undefined) events.onLoadFailed(loadError(this.functionName, meta));
    else rehearsal.reject(loadError(this.functionName, meta));
  }

  /** False if the frame makes no sense at this point of this call. */
  private takeAnswer(call: OpenCall, header: FrameHeader, meta: Buffer, body: Buffer): boolean {
    const { reply } = call;
    switch (header.type) {
      case FrameType.reply:
        if (call.headSent) return false;
        reply.onHead(200, headersOf(header.kind, body));
        if (body.length > 0) reply.onChunk(body);
        // Not before: a call whose reader threw is told of the end of its sandbox.
        this.open.delete(header.callId);
        reply.onEnd();
        this.events.onAnswered?.();
        return true;
      case FrameType.head: {
        const headers = parseHeaders(meta);
        if (call.headSent || headers === undefined || !isStatus(header.status)) return false;
        call.headSent = true;
        reply.onHead(header.status, headers);
        return true;
      }
      case FrameType.chunk:
        if (!call.headSent) return false;
        if (body.length > 0) reply.onChunk(body, this.lent.lend(body));
        if (reply.gone) this.cancel(header.callId, call);
        else this.holdBack(call);
        return true;
      case FrameType.end:
        if (!call.headSent) return false;
        this.open.delete(header.callId);
        reply.onEnd();
        this.events.onAnswered?.();
        return true;
      case FrameType.error:
        this.open.delete(header.callId);
        reply.onError(callError(this.functionName, meta));
        return true;
      default:
        return false;
    }
  }

  /**
   * While a reader is behind, nothing more is read from this sandbox. Calls that share the sandbox wait too; their
   * memory is the agent's, which is worth more.
   */
  private holdBack(call: OpenCall): void {
    const { backlogBytes = 0, whenDrained } = call.reply;
    if (backlogBytes === 0) call.unreadChunks = 0;
    else call.unreadChunks++;
    const behind =
      backlogBytes > GATEWAY_HTTP.backlogPauseBytes || call.unreadChunks > CHANNEL.unreadChunksMax;
    if (whenDrained === undefined || !behind || call.held) return;
    call.unreadChunks = 0;
    call.held = true;
    this.valve.hold();
    whenDrained(
      guarded(this.events, () => {
        if (!call.held) return;
        call.held = false;
        this.valve.release();
      }),
    );
  }

  private stray(): void {
    if (++this.strayFrames >= CHANNEL.strayFramesMax)
      throw new FrameError('it sent too many frames that nobody asked for');
  }
}
