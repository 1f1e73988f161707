/**
 * Takes from a worker thread what could reach beyond its isolate, before any function code is there, and puts
 * harmless things of the same names in its place. Node's own code holds its own references.
 */

import { Console } from 'node:console';
import { FrameType } from '../frames.js';
import { uncurry } from '../primordials.js';
import type { Outlet } from '../reply.js';
import { GLOBAL_NAMES } from './global-names.js';

const STDOUT = 1;
const STDERR = 2;
/** Printed and not yet taken by the agent: what is above it is dropped, so that a flood stays small. */
const UNSENT_MAX_BYTES = 1024 * 1024;
const PIECE_CHARS = 64 * 1024;

const least = Math.min;
const cut = uncurry(String.prototype.slice) as (text: string, from: number, to: number) => string;

export interface OwnGlobals {
  console: Console;
  process: object;
  printError(text: string): void;
}

export function makeGlobals(
  out: () => Outlet,
  unsentBytes: () => number,
  exit: (code?: number) => void,
): OwnGlobals {
  let dropped = 0;
  const print = (stream: number, text: string): boolean => {
    if (unsentBytes() > UNSENT_MAX_BYTES) {
      dropped++;
      return true;
    }
    const { writer } = out();
    if (dropped > 0) writer.add(FrameType.log, stream, 0, 0, 0, '', `... ${dropped} prints dropped\n`);
    dropped = 0;
    // In pieces, so that other frames get their turn; more than the bound above is not sent.
    const chars = least(text.length, UNSENT_MAX_BYTES);
    for (let at = 0; at < chars; at += PIECE_CHARS)
      writer.add(FrameType.log, stream, 0, 0, 0, '', cut(text, at, least(at + PIECE_CHARS, chars)));
    // What follows a print that was cut is a line of its own.
    if (chars < text.length) writer.add(FrameType.log, stream, 0, 0, 0, '', '\n');
    writer.flush();
    return true;
  };
  const sink = (stream: number) => {
    const nothing = (): unknown => undefined;
    return {
      write: (text: string) => print(stream, text),
      on: nothing,
      once: nothing,
      removeListener: nothing,
      listenerCount: () => 0,
    };
  };
  const stdout = sink(STDOUT) as unknown as NodeJS.WritableStream;
  const stderr = sink(STDERR) as unknown as NodeJS.WritableStream;
  const { nextTick, hrtime, uptime, version, versions, platform, arch } = process;
  return {
    console: new Console({ stdout, stderr, colorMode: false }),
    process: {
      env: Object.create(null) as object,
      argv: [],
      execArgv: [],
      pid: 1,
      title: 'nemo',
      version,
      versions: { ...versions },
      release: { name: 'node' },
      platform,
      arch,
      stdout,
      stderr,
      nextTick,
      hrtime,
      uptime,
      cwd: () => '/',
      memoryUsage: () => ({ ...process_memoryUsage() }),
      emitWarning: (warning: unknown) => void print(STDERR, `${String(warning)}\n`),
      exit,
      // Libraries ask for these; events of the process are not a function's.
      on: () => undefined,
      once: () => undefined,
      off: () => undefined,
      emit: () => false,
      listenerCount: () => 0,
    },
    printError: (text) => void print(STDERR, text),
  };
}

const process_memoryUsage = process.memoryUsage.bind(process);

/** Where the fetch of node 20 to 24, and that of later ones, finds what opens its connections. */
const DISPATCHERS = ['undici.globalDispatcher.1', 'undici.globalDispatcher.2'];

async function fetch(): Promise<never> {
  throw new TypeError('fetch failed: an isolate has no network; deploy with --engine process and --egress');
}

/** Replaces and removes. */
export function trimGlobals(own: OwnGlobals): void {
  const scope = globalThis as unknown as Record<string, unknown>;
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (GLOBAL_NAMES.has(name)) continue;
    // V8 does not let some be deleted.
    if (!Reflect.deleteProperty(scope, name)) scope[name] = undefined;
  }
  for (const [name, value] of Object.entries({ process: own.process, console: own.console, fetch })) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
  // Node puts an agent there that connects to any socket, with the first Response, unless one is there.
  for (const name of DISPATCHERS) Object.defineProperty(globalThis, Symbol.for(name), { value: null });
}
