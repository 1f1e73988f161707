/**
 * What every runner of JavaScript does inside its sandbox: node built-ins only, one socket, no way to the agent but
 * frames. It shares its isolate with the function, so whatever it says is the function's word: the agent believes
 * nothing but what concerns this sandbox's own calls.
 */

import type { Buffer } from 'node:buffer';
import type { StoredSource } from '../model/function-source.js';
import {
  CallQueue,
  callAtHand,
  describeError,
  type FetchHandler,
  type Handler,
  type RawHandler,
} from './calls.js';
import { EMPTY, FrameDecoder, FrameType, FrameWriter, KEEPS_INSTANCE, utf8 } from './frames.js';
import type { Link } from './link.js';
import { mapDelete, mapGet, mapSet } from './primordials.js';
import { rehearseCalls, rehearseResponses } from './rehearse.js';
import type { Outlet } from './reply.js';

/** The function left an error unhandled. Told apart from the function's own exit codes by the agent's message. */
const EXIT_UNCAUGHT = 70;
const EXIT_PROTOCOL = 71;
const FLUSH_LIMIT_MS = 1_000;
/** For calls that run when something breaks that may be an earlier call's doing. */
const DRAIN_MS = 1_000;
/** Nothing came for so long: whoever made this sandbox made it ahead of time. */
const REHEARSE_AFTER_MS = 20;

export interface LoadMeta {
  functionName: string;
  source: StoredSource;
  path: string;
  env: Record<string, string>;
  concurrency: number;
  memoryBytes: number;
}

export interface Host {
  /** The default export of the code, which is at `meta.path` or in `code`. */
  evaluate(meta: LoadMeta, code: Buffer): Promise<unknown>;
  printError(text: string): unknown;
  /** What `evaluate` gives takes the body of a call as it came. */
  raw?: (meta: LoadMeta) => boolean;
  /** The code may answer with a Response, or call fetch. */
  usesWeb?: (meta: LoadMeta) => boolean;
  exit(code?: number): void;
  /** Before a snapshot, of a stem or with a function. */
  settle?: () => Promise<void>;
  /** After a restore from a snapshot with a function. */
  wake?: () => void;
  /** Sent with the first frame. */
  hello?: object;
  /** Called with the way to send what is no answer to a call. */
  onOutlet?: (out: Outlet) => void;
  onForget?: () => void;
  /** Functions may stand beside one another; `select` says of which the calls are. */
  several?: boolean;
}

/** What `evaluate` gives when it needs the code and has only its path. */
export const WANTED = Symbol('wanted');

const parseJson = JSON.parse;
const toJson = JSON.stringify;
const startTimer = setTimeout;
const stopTimer = clearTimeout;
const onProcess = process.on.bind(process);

export function serve({ write, drained, receive }: Link, host: Host): void {
  const { evaluate, printError, exit } = host;
  const out: Outlet = { writer: new FrameWriter(write), drained };
  /** Of the function that calls are of now; and of all, by number. */
  let queue: CallQueue | undefined;
  const queues = new Map<number, CallQueue>();
  let ending = false;
  /** What is left to rehearse; real calls make it needless. */
  let rehearsals = [rehearseCalls];
  let timer: NodeJS.Timeout | undefined;
  const rehearse = (): void => {
    for (let i = 0; i < rehearsals.length; i++) rehearsals[i]!();
    rehearsals = [];
  };
  const rehearseSoon = (): void => {
    timer = startTimer(rehearse, REHEARSE_AFTER_MS).unref();
  };

  const tell = (type: number, meta: object | undefined, kind = 0, number = 0): void => {
    out.writer.add(type, kind, 0, 0, number, meta === undefined ? '' : toJson(meta), EMPTY);
    out.writer.flush();
  };

  async function load(number: number, meta: LoadMeta, code: Buffer): Promise<void> {
    const { functionName, concurrency } = meta;
    let exported: unknown;
    try {
      exported = await evaluate(meta, code);
      // A CommonJS module compiled from an ES module keeps its default one level down.
      const inner = exported as { __esModule?: unknown; default?: unknown } | null | undefined;
      if (inner?.__esModule === true) exported = inner.default;
    } catch (error) {
      // Code that did not parse has not run: none of its lines is on the stack.
      const told = describeError(error);
      const parses = !(error instanceof SyntaxError && !/\n\s+at .*\/function\//.test(told.stack));
      tell(FrameType.loadFailed, { code: parses ? 'FUNCTION_LOAD' : 'BAD_FUNCTION', ...told });
      return;
    }
    if (exported === WANTED) return tell(FrameType.wanted, undefined);
    if (typeof exported === 'function') {
      const style = host.raw?.(meta)
        ? ({ kind: 'raw', handler: exported as RawHandler } as const)
        : ({ kind: 'event', handler: exported as Handler } as const);
      queue = new CallQueue(out, functionName, style, concurrency);
    } else if (typeof (exported as { fetch?: unknown } | null | undefined)?.fetch === 'function') {
      const app = exported as { fetch: FetchHandler };
      const handler: FetchHandler = (request, context) => app.fetch(request, context);
      queue = new CallQueue(out, functionName, { kind: 'fetch', handler }, concurrency);
    } else {
      const message = 'the module has no default export that is a function or an object with a fetch method';
      tell(FrameType.loadFailed, { code: 'BAD_FUNCTION', name: 'Error', message, stack: '' });
      return;
    }
    mapSet(queues, number, queue);
    // Node loads its fetch with the first use, some 30 ms of CPU: now rather than in the first call.
    if (typeof exported === 'object' || host.usesWeb?.(meta)) {
      void globalThis.Response;
      rehearsals[rehearsals.length] = rehearseResponses;
    }
    const keeps = host.raw?.(meta) && (exported as RawHandler).keepsInstance === true;
    tell(FrameType.loaded, undefined, keeps ? KEEPS_INSTANCE : 0);
    rehearseSoon();
  }

  /**
   * An error that nobody handled: the state of the isolate is unknown, so it takes no call any more and ends. Whose
   * code threw fails at once. Where that was a call that has its answer, those that run now are innocent: they may end.
   */
  function uncaught(error: unknown): void {
    const told = describeError(error);
    printError(`${told.stack || told.message}\n`);
    const culprit = callAtHand();
    if (queue !== undefined && culprit !== undefined && queue.runs(culprit)) queue.failOne(culprit, error);
    if (ending) return;
    ending = true;
    if (queue === undefined) {
      tell(FrameType.loadFailed, { code: 'FUNCTION_LOAD', ...told });
      end();
      return;
    }
    const { answered } = queue;
    tell(FrameType.ending, undefined, 0, queue.begunId);
    queue.drain(end);
    if (culprit !== undefined) return;
    if (answered) startTimer(() => queue?.failRunning(error), DRAIN_MS);
    else queue.failRunning(error);
  }

  function end(): void {
    startTimer(exit, FLUSH_LIMIT_MS, EXIT_UNCAUGHT);
    write(EMPTY, () => exit(EXIT_UNCAUGHT));
  }

  /** By whatever the function called: what it has not begun goes elsewhere. */
  function lastWords(): void {
    if (!ending && queue !== undefined) tell(FrameType.ending, undefined, 0, queue.begunId);
  }

  const decoder = new FrameDecoder((header, meta, body) => {
    if (timer !== undefined) stopTimer(timer);
    if (ending) {
      // Calls that still run learn that their callers have left.
      if (header.type === FrameType.cancel) queue?.cancel(header.callId);
      return;
    }
    if (header.type === FrameType.call && queue !== undefined) {
      timer = undefined;
      queue.push(header.callId, header.timeMs, meta, body);
    } else if (header.type === FrameType.load && (queue === undefined || host.several))
      void load(header.callId, parseJson(utf8(meta)) as LoadMeta, body);
    else if (header.type === FrameType.cancel) queue?.cancel(header.callId);
    else if (header.type === FrameType.select) queue = mapGet(queues, header.callId);
    else if (header.type === FrameType.forget) {
      if (queue === mapGet(queues, header.callId)) queue = undefined;
      mapDelete(queues, header.callId);
      host.onForget?.();
      tell(FrameType.forgotten, undefined);
    } else if (header.type === FrameType.settle) {
      rehearse();
      void host.settle?.().then(() => tell(FrameType.ready, undefined), uncaught);
    } else if (header.type === FrameType.wake && queue !== undefined) {
      host.wake?.();
      tell(FrameType.loaded, undefined);
    }
  });
  onProcess('uncaughtException', uncaught);
  onProcess('unhandledRejection', uncaught);
  onProcess('exit', lastWords);
  receive(
    (bytes) => {
      try {
        decoder.push(bytes);
      } catch (error) {
        printError(`${describeError(error).message}\n`);
        exit(EXIT_PROTOCOL);
      }
    },
    // Nobody can call a sandbox whose agent is gone.
    () => exit(0),
  );
  host.onOutlet?.(out);
  tell(FrameType.ready, host.hello);
  rehearseSoon();
}
