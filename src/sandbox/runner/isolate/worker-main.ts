/**
 * The program of a worker thread that is a sandbox: connects to the agent by itself, so that a call takes no way
 * through another thread, and serves one function.
 */

import { readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { getHeapStatistics } from 'node:v8';
import { workerData } from 'node:worker_threads';
import { EMPTY, FrameType, utf8 } from '../frames.js';
import type { Outlet } from '../reply.js';
import { serve } from '../serve.js';
import { makeGlobals, trimGlobals } from './globals.js';
import { Modules } from './modules.js';

/** Memory is looked at after a call, at most this often; buffers are not in V8's own limit. */
const LOOK_MS = 20;
const TOLD_STEP_KIB = 256;
const EXIT_OOM = 72;

const { token, socketPath } = workerData as { token: string; socketPath: string };
const exit = process.exit.bind(process);
const heap = getHeapStatistics;
const now = performance.now.bind(performance);
const collect = (globalThis as { gc?: () => void }).gc;
/** "<pid>/task/<tid>": which thread this is, for the agent to give it its group. */
const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));

const socket = connect(socketPath);
let out!: Outlet;
const own = makeGlobals(
  () => out,
  () => socket.writableLength,
  exit,
);
const modules = new Modules(own);

function watchMemory(maxBytes: number): void {
  let lookedMs = 0;
  let toldKib = 0;
  const { add } = out.writer;
  const look = (): void => {
    lookedMs = now();
    const { total_physical_size, external_memory, malloced_memory } = heap();
    const bytes = total_physical_size + external_memory + malloced_memory;
    if (bytes > maxBytes) {
      own.printError(`the isolate holds ${bytes} bytes, more than its limit of ${maxBytes}\n`);
      exit(EXIT_OOM);
    }
    const kib = Math.round(bytes / 1024);
    if (Math.abs(kib - toldKib) < TOLD_STEP_KIB) return;
    toldKib = kib;
    add.call(out.writer, FrameType.memory, 0, 0, 0, kib, '', EMPTY);
  };
  // With the answer of a call, so that it costs no write of its own.
  out.writer.add = (type, ...rest) => {
    add.call(out.writer, type, ...rest);
    if (type !== FrameType.memory && type !== FrameType.log && now() - lookedMs > LOOK_MS) look();
  };
  look();
}

socket.once('connect', () => {
  trimGlobals(own);
  // What starting left behind is a third of a stem's memory.
  collect?.();
  serve(socket, {
    async evaluate({ env, memoryBytes }, code) {
      Object.assign((own.process as { env: object }).env, env);
      const exported = await modules.evaluate(utf8(code));
      watchMemory(memoryBytes);
      return exported;
    },
    printError: own.printError,
    exit,
    hello: { token, thread },
    onOutlet: (outlet) => {
      out = outlet;
    },
  });
});
socket.once('error', () => exit(1));
