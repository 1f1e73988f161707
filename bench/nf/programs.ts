/** Starting NFs from Debian packages in a namespace, and telling when they are ready by what they print or make. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { RunningNf } from '../../src/lab/testbed.js';
import type { Namespace } from '../../src/linux/netns.js';
import { endProcess } from '../../src/linux/tied-process.js';

export interface ProgramOptions {
  namespace: Namespace;
  command: string;
  args: readonly string[];
  /** It is ready once its output fits this. Undefined: at once. */
  ready?: RegExp;
  /** Asks it to end, for programs that have children of their own. Default: SIGKILL. */
  stopSignal?: NodeJS.Signals;
  env?: Record<string, string>;
}

/** Rejects with the program's output if it ends before it is ready. */
export async function startProgram(options: ProgramOptions): Promise<RunningNf> {
  const child = options.namespace.spawn(options.command, options.args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  let output = '';
  const ended = once(child, 'close').then(() => undefined);
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      if (output.length < 100_000) output += chunk;
      if (options.ready?.test(output)) resolve();
    };
    child.stdout!.on('data', hear);
    child.stderr!.on('data', hear);
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`${options.command} ended with ${code}:\n${output}`)));
    if (options.ready === undefined) child.once('spawn', () => resolve());
  });
  return { pid: child.pid!, ended, close: () => stop(child, options.stopSignal ?? 'SIGKILL') };
}

/** A program that does not go within five seconds is killed. */
async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const hard = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await endProcess(child, signal);
  clearTimeout(hard);
}
