/** Starts programs inside a group the way an engine does: the child joins every hierarchy itself, then execs. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Cgroup } from '../../src/linux/cgroup/driver.js';

const JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 97; shift; done; shift; exec "$@"';

export interface Finished {
  exitCode: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

export function startIn(cgroup: Cgroup, argv: readonly string[]): ChildProcess {
  return spawn('/bin/sh', ['-c', JOIN, 'sh', ...cgroup.joinPaths, '--', ...argv], { stdio: 'pipe' });
}

/** Runs a shell script in the group; resolves when its process ended, also if its children hold the pipes open. */
export async function runIn(cgroup: Cgroup, script: string): Promise<Finished> {
  const child = startIn(cgroup, ['/bin/sh', '-c', script]);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const [exitCode, signal] = (await once(child, 'exit')) as [number | null, string | null];
  await new Promise((resolve) => setImmediate(resolve));
  return { exitCode, signal, stdout, stderr };
}
