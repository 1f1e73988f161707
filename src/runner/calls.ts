/**
 * Runs calls in the order of their arrival, at most `concurrency` at a time; the others wait here, so that the
 * next one starts without a round trip to the agent. Each answer leaves before the next call starts: a call that
 * the agent has seen no answer before cannot have been started out of turn.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Buffer } from 'node:buffer';
import { BadBody } from './body-text.js';
import { CallContext, type CallMeta, decodeEvent, toRequest } from './event.js';
import { EMPTY, FrameType, utf8 } from './frames.js';
import { promiseThen, setAdd, setDelete, setForEach, setHas, toPromise } from './primordials.js';
import { type Answered, BadReply, type Outlet, sendResult } from './reply.js';

export type Handler = (event: unknown, context: CallContext) => unknown;
/** The body as it came. */
export interface RawHandler {
  (body: Buffer, context: CallContext): unknown;
  keepsInstance?: true;
}
export type Style =
  | { kind: 'event'; handler: Handler }
  | { kind: 'fetch'; handler: FetchHandler }
  | { kind: 'raw'; handler: RawHandler };
export type FetchHandler = (request: Request, context: CallContext) => unknown;

export interface Call extends Answered {
  /** Null once the call runs: the body is the function's from then on. */
  meta: Buffer;
  body: Buffer;
  allowedMs: number;
  /** Once it runs. */
  context: CallContext | undefined;
  next: Call | undefined;
}

const parseJson = JSON.parse;
const toJson = JSON.stringify;
const nodeMajor = Number.parseInt(process.versions.node, 10);

/** Name, message and the first stack lines of anything thrown; never throws itself. */
export function describeError(
  thrown: unknown,
  stackLines = 8,
): { name: string; message: string; stack: string } {
  try {
    if (typeof thrown === 'object' && thrown !== null && 'message' in thrown) {
      const { name, message, stack } = thrown as Error;
      const lines = typeof stack === 'string' ? stack.split('\n', stackLines).join('\n') : '';
      return {
        name: String(name).slice(0, 200),
        message: String(message).slice(0, 4000),
        stack: lines.slice(0, 4000),
      };
    }
    return { name: 'Error', message: String(thrown).slice(0, 4000), stack: '' };
  } catch {
    return { name: 'Error', message: 'an error that cannot be shown', stack: '' };
  }
}

/** Never throws: even to ask a proxy what it is runs the function's code. */
function codeOf(thrown: unknown): string {
  try {
    if (thrown instanceof BadBody) return 'BAD_REQUEST';
    if (thrown instanceof BadReply) return thrown.code;
  } catch {
    // The function's own.
  }
  return 'FUNCTION_ERROR';
}

function abandon(call: Call): void {
  call.cancelled = true;
  if (call.context !== undefined) CallContext.callerLeft(call.context);
}

function handle(style: Style, headers: CallMeta['headers'], body: Buffer, context: CallContext): unknown {
  if (style.kind === 'event') return style.handler(decodeEvent(headers, body), context);
  return style.kind === 'fetch'
    ? style.handler(toRequest(context, body), context)
    : style.handler(body, context);
}

/**
 * Of which call code is that runs later. Only where node carries it along for nothing: before version 24 it would
 * cost each of a function's promises.
 */
const contexts = nodeMajor >= 24 ? new AsyncLocalStorage<Call>() : undefined;
type Within = (call: Call, step: typeof handle, ...how: Parameters<typeof handle>) => unknown;
const run = contexts && (AsyncLocalStorage.prototype.run.bind(contexts) as unknown as Within);
const store = contexts?.getStore.bind(contexts);

/** The call whose code threw what nobody caught; undefined: it cannot be told. */
export function callAtHand(): Call | undefined {
  return store?.();
}

export class CallQueue {
  private first: Call | undefined;
  private last: Call | undefined;
  private readonly running = new Set<Call>();
  private runningCount = 0;
  private starting = false;
  private whenIdle: (() => void) | undefined;
  /** The number of the call that began last. */
  begunId = 0;
  /** A call was answered before: what goes wrong now may be its doing. */
  answered = false;

  constructor(
    private readonly out: Outlet,
    private readonly functionName: string,
    private readonly style: Style,
    private readonly concurrency: number,
  ) {}

  /** `allowedMs`: what it may take from its begin. */
  push(id: number, allowedMs: number, meta: Buffer, body: Buffer): void {
    const call: Call = {
      ...{ id, cancelled: false, meta, body, allowedMs },
      ...{ context: undefined, next: undefined },
    };
    if (this.last === undefined) this.first = call;
    else this.last.next = call;
    this.last = call;
    this.startNext();
  }

  /** Whoever asked for it has left. */
  cancel(id: number): void {
    setForEach(this.running, (call) => {
      if (call.id === id) abandon(call);
    });
    // It may be one of those that wait here: it is answered without being run.
    for (let call = this.first; call !== undefined; call = call.next) if (call.id === id) abandon(call);
  }

  /** Begins nothing more. `whenIdle` is called when the calls that run have ended. */
  drain(whenIdle: () => void): void {
    this.whenIdle = whenIdle;
    if (this.runningCount === 0) whenIdle();
  }

  runs(call: Call): boolean {
    return setHas(this.running, call);
  }

  /** Ends a running call with `error`. */
  failOne(call: Call, error: unknown): void {
    this.fail(call, error);
  }

  /** Ends every running call with `error`. */
  failRunning(error: unknown): void {
    setForEach(this.running, (call) => this.fail(call, error));
  }

  private startNext(): void {
    // A synchronous function finishes inside start(): the loop goes on, the stack does not grow.
    if (this.starting || this.whenIdle !== undefined) return;
    this.starting = true;
    while (this.first !== undefined && this.runningCount < this.concurrency && this.whenIdle === undefined) {
      const call = this.first;
      this.first = call.next;
      if (this.first === undefined) this.last = undefined;
      this.start(call);
    }
    this.starting = false;
  }

  private start(call: Call): void {
    this.runningCount++;
    setAdd(this.running, call);
    this.begunId = call.id;
    const { body } = call;
    try {
      if (call.cancelled) throw new BadReply('FUNCTION_ERROR', 'the caller has left');
      const meta = parseJson(utf8(call.meta)) as CallMeta;
      call.meta = EMPTY;
      call.body = EMPTY;
      // Not from when it came: those before it are no concern of its.
      const context = new CallContext(this.functionName, meta, call.allowedMs);
      call.context = context;
      const { style } = this;
      const result =
        run === undefined
          ? handle(style, meta.headers, body, context)
          : run(call, handle, style, meta.headers, body, context);
      if (
        typeof result === 'object' &&
        result !== null &&
        typeof (result as PromiseLike<unknown>).then === 'function'
      ) {
        promiseThen(
          toPromise(result),
          (value) => this.answer(call, value),
          (error) => this.fail(call, error),
        );
      } else this.answer(call, result);
    } catch (error) {
      this.fail(call, error);
    }
  }

  private answer(call: Call, value: unknown): void {
    try {
      const streaming = sendResult(this.out, call, value);
      if (streaming === undefined) this.finish(call);
      else
        promiseThen(
          streaming,
          () => this.finish(call),
          (error) => this.fail(call, error),
        );
    } catch (error) {
      this.fail(call, error);
    }
  }

  private fail(call: Call, error: unknown): void {
    this.sendError(call, error);
    this.finish(call);
  }

  private finish(call: Call): void {
    if (!setDelete(this.running, call)) return;
    this.runningCount--;
    this.answered = true;
    if (this.whenIdle !== undefined && this.runningCount === 0) this.whenIdle();
    else this.startNext();
  }

  private sendError(call: Call, thrown: unknown): void {
    const meta = toJson({ code: codeOf(thrown), ...describeError(thrown) });
    this.out.writer.add(FrameType.error, 0, 0, call.id, 0, meta, EMPTY);
    this.out.writer.flush();
  }
}
