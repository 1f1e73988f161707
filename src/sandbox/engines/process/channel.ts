/**
 * The agent's end of a sandbox's socket. Whatever arrives was written by the function's own process: lengths are
 * bounded, text is checked, and a frame about a call that is not open is counted and ignored.
 */

import type { Socket } from 'node:net';
import { NemoError } from '../../../errors.js';
import type { CallRequest } from '../../../invoke/function.js';
import { GATEWAY_HTTP, ISOLATE, POOL, SANDBOX } from '../../../tunables.js';
import type { LoadOptions, SandboxReply } from '../../engine.js';
import {
  BodyKind,
  EMPTY,
  FrameDecoder,
  type FrameHeader,
  FrameType,
  FrameWriter,
  utf8,
} from '../../runner/frames.js';
import { Deferred } from '../ends.js';

interface OpenCall {
  reply: SandboxReply;
  headSent: boolean;
  /** Its reader has left, and the runner was told. */
  cancelled: boolean;
}

/** Outcome of a stem's start or of a load, as the runner told it. */
export interface ChannelEvents {
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
  /** The peer is broken or hostile. */
  onViolation(reason: string): void;
}

const REHEARSAL = {
  functionName: 'rehearsal',
  env: {},
  memoryBytes: POOL.memoryMaxDefaultBytes,
  timeoutMs: 1_000,
};
const REHEARSAL_CALL: CallRequest = {
  callId: 'rehearsal',
  functionName: REHEARSAL.functionName,
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
  /** Readers of answers that are behind: the socket is paused while there is one. */
  private waitingReaders = 0;
  /** Frames ignored so far. */
  strayFrames = 0;

  constructor(
    private readonly socket: Socket,
    private readonly events: ChannelEvents,
  ) {
    this.writer = new FrameWriter((bytes) => socket.write(bytes));
    const decoder = new FrameDecoder((header, meta, body) => this.take(header, meta, body));
    socket.on('data', (bytes: Buffer) => {
      try {
        decoder.push(bytes);
      } catch (error) {
        socket.removeAllListeners('data').resume();
        events.onViolation((error as Error).message);
      }
    });
    // A write to a sandbox that just ended; its end is told by the process.
    socket.on('error', () => {});
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
    const { functionName, env, memoryBytes, concurrency = 1 } = options;
    this.concurrency = concurrency;
    this.functionName = functionName;
    const meta = JSON.stringify({ functionName, path, env, concurrency, memoryBytes });
    this.send(FrameType.load, number, 0, meta, code);
  }

  /** Calls are of the function of that number from now on. Only while none is in flight. */
  select({ functionName, concurrency = 1 }: LoadOptions, number: number): void {
    this.concurrency = concurrency;
    this.functionName = functionName;
    this.send(FrameType.select, number, 0, '', EMPTY);
  }

  forget(number: number): void {
    this.send(FrameType.forget, number, 0, '', EMPTY);
  }

  /** Before a snapshot. Answered by `onReady`. */
  settle(): void {
    this.send(FrameType.settle, 0, 0, '', EMPTY);
  }

  /** In place of `load`, where the runner has its function already. Answered by `onLoaded`. */
  wake({ functionName, concurrency = 1 }: LoadOptions): void {
    this.concurrency = concurrency;
    this.functionName = functionName;
    this.send(FrameType.wake, 0, 0, '', EMPTY);
  }

  call(call: CallRequest, remainingMs: number, reply: SandboxReply): void {
    const id = this.nextCallId;
    this.nextCallId = id === 0xffffffff ? 1 : id + 1;
    const { callId, method, path, query, headers, body } = call;
    const timeMs = Math.min(Math.max(Math.ceil(remainingMs), 0), 0xffffffff);
    try {
      this.send(FrameType.call, id, timeMs, JSON.stringify({ callId, method, path, query, headers }), body);
      this.open.set(id, { reply, headSent: false, cancelled: false });
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
    // The runner starts calls in order and answers one before it starts the next beyond its concurrency.
    for (const [i, call] of calls.entries()) call.reply.onError(errorFor(i < this.concurrency));
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
    const call = this.open.get(header.callId);
    if (call === undefined) this.takeControl(header, meta, body);
    else if (!this.takeAnswer(call, header, meta, body)) this.stray();
  }

  private takeControl({ type, kind, timeMs }: FrameHeader, meta: Buffer, body: Buffer): void {
    if (type === FrameType.ready) this.events.onReady(parseObject(meta) ?? {});
    else if (type === FrameType.loaded)
      this.rehearsal === undefined ? this.events.onLoaded(kind) : this.rehearsal.resolve();
    else if (type === FrameType.loadFailed) {
      const error = this.loadError(meta);
      (this.rehearsal?.reject ?? this.events.onLoadFailed)(error);
    } else if (type === FrameType.log) this.events.onLog?.(kind, body);
    else if (type === FrameType.forgotten) this.rehearsal?.resolve();
    else if (type === FrameType.wanted) this.events.onWanted?.();
    else if (type === FrameType.memory) this.events.onMemory?.(timeMs);
    else this.stray();
  }

  /** False if the frame makes no sense at this point of this call. */
  private takeAnswer(call: OpenCall, header: FrameHeader, meta: Buffer, body: Buffer): boolean {
    const { reply } = call;
    switch (header.type) {
      case FrameType.reply:
        if (call.headSent) return false;
        this.open.delete(header.callId);
        reply.onHead(200, headersOf(header.kind, body));
        if (body.length > 0) reply.onChunk(body);
        reply.onEnd();
        this.events.onAnswered?.();
        return true;
      case FrameType.head: {
        const headers = parseHeaders(meta);
        if (call.headSent || headers === undefined || header.status < 200 || header.status > 599)
          return false;
        call.headSent = true;
        reply.onHead(header.status, headers);
        return true;
      }
      case FrameType.chunk:
        if (!call.headSent) return false;
        reply.onChunk(body);
        if (reply.gone) this.cancel(header.callId, call);
        else this.holdBack(reply);
        return true;
      case FrameType.end:
        if (!call.headSent) return false;
        this.open.delete(header.callId);
        reply.onEnd();
        this.events.onAnswered?.();
        return true;
      case FrameType.error:
        this.open.delete(header.callId);
        reply.onError(this.callError(meta));
        return true;
      default:
        return false;
    }
  }

  /**
   * While a reader is behind, nothing more is read from this sandbox: its socket fills and the function waits.
   * Calls that share the sandbox wait too; their memory is the agent's, which is worth more.
   */
  private holdBack({ backlogBytes = 0, whenDrained }: SandboxReply): void {
    if (whenDrained === undefined || backlogBytes <= GATEWAY_HTTP.backlogPauseBytes) return;
    this.waitingReaders++;
    this.socket.pause();
    let waits = true;
    whenDrained(() => {
      if (!waits) return;
      waits = false;
      if (--this.waitingReaders === 0) this.socket.resume();
    });
  }

  private stray(): void {
    this.strayFrames++;
    if (this.strayFrames === SANDBOX.strayFramesMax)
      this.events.onViolation('too many frames without a meaning');
  }

  private callError(meta: Buffer): NemoError {
    const told = parseTold(meta);
    const code = told.code === 'BAD_REQUEST' || told.code === 'BODY_TOO_LARGE' ? told.code : 'FUNCTION_ERROR';
    const message =
      code === 'BAD_REQUEST'
        ? `call of ${this.functionName}: ${told.message}`
        : `${this.functionName} threw ${told.name}: ${told.message}`;
    return new NemoError(code, message, { details: { name: told.name, stack: told.stack } });
  }

  private loadError(meta: Buffer): NemoError {
    const told = parseTold(meta);
    const code = told.code === 'BAD_FUNCTION' ? 'BAD_FUNCTION' : 'FUNCTION_LOAD';
    const what =
      code === 'BAD_FUNCTION' ? 'is not a function that can be run' : 'failed while it was being loaded';
    return new NemoError(code, `${this.functionName} ${what}: ${told.name}: ${told.message}`, {
      hint:
        code === 'BAD_FUNCTION'
          ? 'export default async (event, context) => ..., or export default { fetch(request) { ... } }'
          : 'run the file with node to see the error',
      details: { name: told.name, stack: told.stack },
    });
  }
}

const CONTENT_TYPES: Record<number, string> = {
  [BodyKind.text]: 'text/plain; charset=utf-8',
  [BodyKind.json]: 'application/json',
  [BodyKind.bytes]: 'application/octet-stream',
};

function headersOf(kind: number, body: Buffer): Record<string, string> {
  const type = CONTENT_TYPES[kind];
  const length = `${body.length}`;
  return type === undefined
    ? { 'content-length': length }
    : { 'content-type': type, 'content-length': length };
}

const HEADER_NAME = /^[-!#$%&'*+.^_`|~0-9a-zA-Z]{1,200}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a header value must not contain
const HEADER_VALUE = /^[^\u0000-\u0008\u000a-\u001f\u007f\u0100-\uffff]*$/;
const HEADERS_MAX = 200;
/** They speak of one connection; the gateway's connection is not the function's. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'trailer',
  'te',
]);

/** Undefined if it is not an object of valid header texts. */
function parseHeaders(meta: Buffer): Record<string, string> | undefined {
  const parsed = parseObject(meta);
  if (parsed === undefined) return undefined;
  const entries = Object.entries(parsed);
  if (entries.length > HEADERS_MAX) return undefined;
  const headers: Record<string, string> = {};
  for (const [name, value] of entries) {
    if (typeof value !== 'string' || !HEADER_NAME.test(name)) return undefined;
    // The one header that may come several times: its values are joined by newlines.
    const values = name.toLowerCase() === 'set-cookie' ? value.replaceAll('\n', ' ') : value;
    if (!HEADER_VALUE.test(values)) return undefined;
    if (name !== '__proto__' && !HOP_BY_HOP.has(name.toLowerCase())) headers[name] = value;
  }
  return headers;
}

function parseTold(meta: Buffer): { code: string; name: string; message: string; stack: string } {
  const parsed = parseObject(meta) ?? {};
  const text = (key: string, most: number) => {
    const value = parsed[key];
    return typeof value === 'string' ? value.slice(0, most) : '';
  };
  return {
    code: text('code', 40),
    name: text('name', 200) || 'Error',
    message: text('message', 4000),
    stack: ownFrames(text('stack', 4000)),
  };
}

/** A stack without the frames of the runner, which say nothing to whoever wrote the function. */
function ownFrames(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => !/^\s+at .*file:\/\/\/runner\//.test(line))
    .join('\n');
}

function parseObject(meta: Buffer): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(utf8(meta));
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
