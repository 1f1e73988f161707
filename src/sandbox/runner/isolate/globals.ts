/**
 * Takes from a worker thread what could reach beyond its isolate, before any function code is there, and puts
 * harmless things of the same names in its place. Node's own code holds its own references.
 */

import { Console } from 'node:console';
import { FrameType } from '../frames.js';
import type { Outlet } from '../reply.js';

const STDOUT = 1;
const STDERR = 2;
/** Printed and not yet taken by the agent: what is above it is dropped, so that a flood stays small. */
const UNSENT_MAX_BYTES = 1024 * 1024;
const LINE_MAX_CHARS = 64 * 1024;

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
    writer.add(FrameType.log, stream, 0, 0, 0, '', text.slice(0, LINE_MAX_CHARS));
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

/** Replaces and removes. */
export function trimGlobals(own: OwnGlobals): void {
  const scope = globalThis as unknown as Record<string, unknown>;
  // It speaks to every thread of the process.
  delete scope.BroadcastChannel;
  // V8 does not let it be deleted.
  scope.gc = undefined;
  for (const name of ['process', 'console'] as const) {
    Object.defineProperty(globalThis, name, { value: own[name], writable: true, configurable: true });
  }
}
