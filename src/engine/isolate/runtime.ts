/**
 * What the processes of isolates share beyond a process sandbox's: the main thread's program, and what each worker
 * thread runs, bundled into one CommonJS file: a thread without the loader of ES modules starts sooner and is
 * 0.6 MB smaller.
 */

import { chmodSync, copyFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildOptions } from 'esbuild';
import { prepareRuntime, type Runtime } from '../../confinement/runtime.js';

const RUNNER_SOURCE = fileURLToPath(new URL('../../runner/', import.meta.url));
const HOST_FILE = 'host-main.js';

export const JS_REHEARSAL = join(RUNNER_SOURCE, 'isolate', 'rehearsal.js');
export const JS_PROGRAM = 'isolate/worker-main.js';
export const WASM_PROGRAM = 'wasm/worker-main.js';
const BUNDLE = 'thread.js';
const OWN_STATUS = 'thread';
/** Where it lies inside. */
export const THREAD_INSIDE = '/runner/worker.cjs';

/**
 * Runs the bundle as a script whose every `import()` is refused, also that of code which a function had the runner
 * evaluate: as a CommonJS module it would have node's own loader.
 */
const START = `'use strict';
const path = require('node:path').join(__dirname, '${BUNDLE}');
const source = require('node:fs').readFileSync(path, 'utf8');
new (require('node:vm').Script)(source, { filename: path }).runInThisContext()(require);
`;

/**
 * Node's own limits, below ours: it reads the runner's files and no other, and has no add-ons, inspector, WASI, child
 * processes, and no code from strings. Threads and the connection of each to the agent need what is allowed.
 */
export function permissionFlags(known: ReadonlySet<string> = process.allowedNodeEnvironmentFlags): string[] {
  return [
    known.has('--permission') ? '--permission' : '--experimental-permission',
    '--allow-fs-read=/runner/*',
    '--allow-worker',
    ...['--allow-net', '--no-experimental-sqlite', '--no-experimental-webstorage'].filter((flag) =>
      known.has(flag),
    ),
    '--no-addons',
    '--disallow-code-generation-from-strings',
  ];
}

/** Makes `directory` (all of it is replaced). Throws SANDBOX_START with the way out. */
export async function prepareIsolateRuntime(directory: string, program: string): Promise<Runtime> {
  const runtime = prepareRuntime(directory, undefined, 'threads');
  const runner = join(directory, 'runner');
  const { buildSync } = await import('esbuild');
  const bundle = (source: string, name: string, options: BuildOptions = {}): void => {
    const outfile = join(runner, name);
    buildSync({
      ...options,
      entryPoints: [join(RUNNER_SOURCE, source)],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node20',
      logLevel: 'silent',
    });
    chmodSync(outfile, 0o644);
  };
  const wrapped = { banner: { js: '(function (require) { "use strict";' }, footer: { js: '})' } };
  bundle(program, BUNDLE, wrapped);
  writeFileSync(join(runner, basename(THREAD_INSIDE)), START);
  chmodSync(join(runner, basename(THREAD_INSIDE)), 0o644);
  symlinkSync('/proc/thread-self/status', join(runner, OWN_STATUS));
  for (const file of [HOST_FILE, 'to-host.js']) {
    copyFileSync(join(RUNNER_SOURCE, 'isolate', file), join(runner, file));
    chmodSync(join(runner, file), 0o644);
  }
  return { ...runtime, runnerInside: `/runner/${HOST_FILE}` };
}
