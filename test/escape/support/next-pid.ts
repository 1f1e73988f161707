/** For programs in a pid namespace of their own, where they can choose the next pid. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';

/** A process with a network namespace for itself. */
export async function startInOwnNamespace(): Promise<ChildProcess> {
  const child = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo ready && exec cat']);
  await once(child.stdout!, 'data');
  return child;
}

/** Somebody else got the pid while the last one ended: again. */
export async function startAs(pid: number, start: () => Promise<ChildProcess>): Promise<ChildProcess> {
  for (;;) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
    const child = await start();
    if (child.pid === pid) return child;
    await end(child);
  }
}

export async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}
