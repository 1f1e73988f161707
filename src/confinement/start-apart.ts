/**
 * The one place where the first process of a sandbox is started, whatever its engine. Where functions are kept off the
 * SMT siblings of others, it waits in a shell until it has its core-scheduling cookie: what it becomes and whatever it
 * starts inherits that, so nothing of a function, of a package imported ahead or of an image ever runs without.
 */

import type { ChildProcess } from '../linux/spawn.js';
import { NemoError } from '../model/errors.js';

/** Gives processes cookies of their own; false: one has none. */
export type SetApart = (pids: Iterable<number>) => boolean;

/**
 * $1 and on: the files to join, `--`, and the program. Through `tasks`, which only v1 has, a process with one thread joins at
 * once; through `cgroup.procs` it waits until every exec of the host is done, those of functions on a busy NF's core too.
 */
export const JOIN_GROUPS = `while [ "$1" != -- ]; do
  file="\${1%cgroup.procs}tasks"; [ -e "$file" ] || file=$1
  echo 0 >"$file" || exit 97; shift
done
shift; exec "$@"`;

const WAIT = 'read -r go && exec "$@" </dev/null';

/** Starts `command`, as its engine wants descriptors, directory and environment. */
export type StartSandbox = (command: readonly string[], stdin: 'ignore' | 'pipe') => ChildProcess;

/** The program gets no standard input. Throws SANDBOX_START; nothing is left then. */
export function spawnSandbox(
  command: readonly string[],
  start: StartSandbox,
  setApart: SetApart | undefined,
): ChildProcess {
  if (setApart === undefined) return start(command, 'ignore');
  const child = start(['/bin/sh', '-c', WAIT, 'sandbox', ...command], 'pipe');
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
