/**
 * The one place where the first process of a sandbox is started, whatever its engine. Where functions are kept off the
 * SMT siblings of others, it waits in a shell until it has its core-scheduling cookie: what it becomes and whatever it
 * starts inherits that, so nothing of a function, of a package imported ahead or of an image ever runs without.
 */

import { NemoError } from '../../errors.js';
import { type ChildProcess, type SpawnOptions, spawn } from '../../linux/spawn.js';

/** Gives processes cookies of their own; false: one has none. */
export type SetApart = (pids: Iterable<number>) => boolean;

const WAIT = 'read -r go && exec "$@" </dev/null';

type Stdio = Extract<SpawnOptions['stdio'], unknown[]>;

/** `stdio`: from standard output on; there is no standard input. Throws SANDBOX_START; nothing is left then. */
export function spawnSandbox(
  command: readonly string[],
  stdio: Stdio,
  options: SpawnOptions,
  setApart: SetApart | undefined,
): ChildProcess {
  const [program, ...args] = command;
  if (setApart === undefined) return spawn(program!, args, { ...options, stdio: ['ignore', ...stdio] });
  const child = spawn('/bin/sh', ['-c', WAIT, 'sandbox', ...command], {
    ...options,
    stdio: ['pipe', ...stdio],
  });
  // It may end while it waits.
  child.stdin!.on('error', () => {});
  // Its `error` event tells.
  if (child.pid === undefined) return child;
  if (!setApart([child.pid])) {
    child.kill('SIGKILL');
    for (const stream of child.stdio) stream?.destroy();
    throw new NemoError('SANDBOX_START', 'a sandbox cannot be kept off the SMT siblings of others');
  }
  child.stdin!.end('\n');
  return child;
}
