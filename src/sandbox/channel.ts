/**
 * The agent's end of a sandbox's socket. Whatever arrives was written by the function's own process: lengths are
 * bounded, text is checked, a frame that nobody asked for is counted and ignored, and a peer that sends more than its
 * calls need is read slowly. The types of frames and what each may hold are a closed list.
 */

import type { Socket } from 'node:net';
import type { CallRequest } from '../model/call.js';
import { NemoError } from '../model/errors.js';
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
import { CHANNEL } from '../tunables/index.js';
import { Deferred, notTaken } from './ends.js';
import type { LoadOptions, SandboxReply } from './engine.js';
import { type Endings, guarded } from './guarded.js';
import { OpenCalls } from './open-calls.js';
import { callRehearsal, REHEARSAL } from './rehearsal.js';
import { loadError } from './told-errors.js';
import { UnreadCalls } from './unread-calls.js';

/** What the runner reports: its start, the outcome of a load, what it prints. */
export interface ChannelEvents extends Endings {
  /** `hello`: what the runner reports about itself. */
  onReady(hello: Record<string, unknown>): void;
  /** `kind`: of the frame. */
  onLoaded(kind: number): void;
  onLoadFailed(error: NemoError): void;
  /** Printed text, of runners that have no pipe for it; `stream` is 1 or 2. */
  onLog?(stream: number, text: Buffer): void;
  onMemory?(kib: number): void;
  /** A call has its whole answer. */
  onAnswered?(): void;
  /** It was to load a path whose code it does not have. */
  onWanted?(): void;
}

export class Channel {
  private readonly calls: OpenCalls;
  private readonly writer: FrameWriter;
  private nextCallId = 1;
  private flushPlanned = false;
  private concurrency = 1;
  private functionName = '';
  private rehearsal: Deferred | undefined;
  private readonly pace: Pace;
  /** How many answers of each kind were asked for and have not come: more than that are strays. */
  private loadsAsked = 0;
  private forgetsAsked = 0;
  /** It was cut off: what still comes is ignored. */
  private over = false;
  /** It takes no more calls. */
  private ending = false;
  /** Its socket was closed before it had read all that was sent. */
  private unread = false;
  /** Held by readers that are behind: the sandbox's socket then fills, and the function waits. */
  readonly valve: Valve;
  private readonly lent = new LentRead();
  /** Frames ignored so far. */
  strayFrames = 0;

  /** `readysAsked`: 0 for a peer that reported ready before this channel was made. */
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
      ({ callId }) => (this.calls.has(callId) ? META_MAX_BYTES + BODY_MAX_BYTES : CHANNEL.controlMaxBytes),
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
    this.calls = new OpenCalls({
      ...{ endings: events, valve: this.valve, lent: this.lent, onAnswered: () => events.onAnswered?.() },
      unread: new UnreadCalls(socket),
      cancel: (id) => this.send(FrameType.cancel, id, 0, '', EMPTY),
    });
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
    // The process reports its end. These errors mean that the peer closed the socket with something unread in it.
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNRESET' || code === 'EPIPE') this.unread = true;
    });
  }

  private breakOff(): void {
    if (!this.over) this.valve.hold();
    this.over = true;
  }

  get inFlight(): number {
    return this.calls.size;
  }

  /**
   * Has the runner load a function of ours, call it and forget it: see rehearsal.ts. Rejects with the reason why it was
   * not loaded; never settles if the sandbox ends meanwhile.
   */
  async rehearse(path: string, code?: Buffer): Promise<void> {
    this.load({ ...REHEARSAL, bundlePath: path }, path, code);
    await this.rehearsed();
    await callRehearsal((call, allowedMs, reply) => this.call(call, allowedMs, reply));
    this.forget(0);
    await this.rehearsed();
  }

  /** Resolves when the runner has done the next step of its rehearsal. */
  private async rehearsed(): Promise<void> {
    this.rehearsal = new Deferred();
    await this.rehearsal.promise;
    this.rehearsal = undefined;
  }

  /** `code`: for a runner that sees no file at `path`. Throws RangeError above the bounds of a frame. */
  load(options: LoadOptions, path: string, code: Buffer = EMPTY, number = 0): void {
    const { source, env, memoryBytes, concurrency = 1 } = options;
    const functionName = options.ref.key;
    this.concurrency = concurrency;
    this.functionName = functionName;
    const meta = JSON.stringify({ functionName, source, path, env, concurrency, memoryBytes });
    this.loadsAsked++;
    this.send(FrameType.load, number, 0, meta, code);
  }

  /** From now on calls are for the function of that number. Only while none is in flight. */
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

  /** `allowedMs`: how long the call may take once it has begun. */
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
      this.calls.add(id, reply, this.writer.bytes);
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

  /** The runner is told of calls whose callers are gone. */
  callersLeft(): void {
    this.calls.callersLeft();
  }

  /** Ends all open calls; `errorFor` is told whether the call may have been started. */
  endAll(errorFor: (started: boolean) => NemoError): void {
    // The runner starts calls in order and answers one before it starts the next beyond its concurrency. What it left
    // unread ends with the call that was sent last.
    const unread = this.unread ? 1 : 0;
    this.calls.endAll((index, count) => errorFor(index < Math.min(this.concurrency, count - unread)));
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
    const call = this.calls.get(header.callId);
    const makesSense =
      call === undefined
        ? this.takeControl(header, meta, body)
        : this.calls.take(call, header, meta, body, this.functionName);
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
        this.ending = true;
        this.calls.endAfter(header.timeMs, () => notTaken(this.functionName));
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

  private stray(): void {
    if (++this.strayFrames >= CHANNEL.strayFramesMax)
      throw new FrameError('it sent too many frames that nobody asked for');
  }
}
