/**
 * Modules that some thread of the process has compiled: it gives them to the main thread, which passes them on. What
 * was passed on is looked at when it is needed, so that it wakes no thread which runs nothing.
 */

import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { SharedModule } from '../isolate/host-main.js';
import { type Compiled, compile } from './module.js';

/** Those that came last; any other is compiled again. */
const KEPT_MAX = 256;
const kept = new Map<string, Compiled>();
const port = parentPort as MessagePort;
/** Node's own, which takes modules. */
const post = port.postMessage.bind(port);

function keep({ path, compiled }: SharedModule): void {
  if (kept.has(path)) return;
  kept.set(path, compiled as Compiled);
  for (const oldest of kept.keys()) {
    if (kept.size <= KEPT_MAX) return;
    kept.delete(oldest);
  }
}

for (const shared of (workerData as { modules: SharedModule[] }).modules) keep(shared);

export function findCompiled(path: string): Compiled | undefined {
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    keep(next.message as SharedModule);
  }
  return kept.get(path);
}

/** Compiles a module and lets the other threads have it. Throws as `compile`. */
export function keepCompiled(path: string, code: Uint8Array, memoryBytes: number): Compiled {
  const compiled = compile(code, memoryBytes);
  keep({ path, compiled });
  post({ path, compiled } satisfies SharedModule);
  return compiled;
}
