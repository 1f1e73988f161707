/**
 * The main thread of a process whose worker threads are sandboxes. It starts and ends them when the agent says so on
 * fd 4, one JSON object a line, and tells on fd 3 how they ended. No function's code runs on this thread.
 */

import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import { type FromHost, SHARES_MODULES, type ToHost } from './to-host.js';

/** What a thread compiled, for the others. */
export interface SharedModule {
  path: string;
  compiled: unknown;
}

const SHARED_MAX = 256;
const [, , program, socketPath, sharing] = process.argv as [string, string, string, string, string?];
const agent = new Socket({ fd: 4, readable: true, writable: false });
const toAgent = new Socket({ fd: 3, readable: false, writable: true });
const workers = new Map<string, Worker>();
const shared = new Map<string, SharedModule>();
const tell = (message: FromHost): void => void toAgent.write(`${JSON.stringify(message)}\n`);

function spawn({ id, token, heapMb, stackMb, youngMb }: ToHost & { op: 'spawn' }): void {
  const resourceLimits: ResourceLimits = {
    maxOldGenerationSizeMb: heapMb,
    maxYoungGenerationSizeMb: youngMb,
    stackSizeMb: stackMb,
  };
  const worker = new Worker(program, {
    workerData: { token, socketPath, modules: [...shared.values()] },
    resourceLimits,
    env: {},
    trackUnmanagedFds: true,
  });
  let oom = false;
  workers.set(id, worker);
  // Whatever a function threw.
  worker.on('error', (error: NodeJS.ErrnoException | null | undefined) => {
    oom = error?.code === 'ERR_WORKER_OUT_OF_MEMORY';
    if (!oom) process.stderr.write(`${error?.stack ?? String(error)}\n`);
  });
  // From code of NEMO's: no function reaches its thread's port.
  if (sharing === SHARES_MODULES) worker.on('message', (module: SharedModule) => share(module, worker));
  worker.on('exit', (code) => {
    workers.delete(id);
    tell({ event: 'exit', id, oom, code });
  });
}

/** What is there already is not replaced: the others run it. */
function share(module: SharedModule, from: Worker): void {
  if (shared.has(module.path)) return;
  shared.set(module.path, module);
  for (const oldest of shared.keys()) {
    if (shared.size <= SHARED_MAX) break;
    shared.delete(oldest);
  }
  for (const other of workers.values()) if (other !== from) other.postMessage(module);
}

const lines = createInterface({ input: agent });
lines.on('error', () => process.exit(0));
lines.on('line', (line) => {
  const message = JSON.parse(line) as ToHost;
  if (message.op === 'spawn') spawn(message);
  else void workers.get(message.id)?.terminate();
});
agent.on('close', () => process.exit(0));
for (const way of [agent, toAgent]) way.on('error', () => process.exit(0));
tell({ event: 'up' });
