/** For programs in a pid namespace of their own, where they can choose the next pid. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { startTicks } from '../../../src/linux/process.js';

/** A process with a network namespace for itself. */
export async function startInOwnNamespace(): Promise<ChildProcess> {
  const child = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo ready && exec cat']);
  await once(child.stdout!, 'data');
  return child;
}

/**
 * Again while somebody else gets the pid, or while the clock's tick (10 ms) is still that in which the one before was
 * started, `beforeTicks`.
 */
export async function startAs(
  pid: number,
  start: () => Promise<ChildProcess>,
  beforeTicks?: number,
): Promise<ChildProcess> {
  for (;;) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
    const child = await start();
    if (child.pid === pid && startTicks(pid) !== beforeTicks) return child;
    await end(child);
  }
}

export async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}
