/** Threads of processes in other pid namespaces, as the host numbers them. */

import { readFileSync } from 'node:fs';
import type { Cgroup } from './cgroup/driver.js';
import { processesOf } from './cgroup/files.js';
import { namesIfThere } from './if-there.js';

/** The one process of a group with the most threads. Throws if the group is empty. */
export function processGroupThreads(group: Cgroup): { pid: number; tids: number[] } {
  let best: { pid: number; tids: number[] } = { pid: 0, tids: [] };
  for (const pid of processesOf(group)) {
    const tids = threadsOf(pid);
    if (tids.length > best.tids.length) best = { pid, tids };
  }
  if (best.pid === 0) throw new Error(`no process in ${group.name}`);
  return best;
}

/** The thread that its own pid namespace knows as `inside`; undefined for the main thread. The newest are tried first. */
export function threadInside(pid: number, inside: number): number | undefined {
  for (const tid of threadsOf(pid).reverse()) {
    if (tid === pid) continue;
    try {
      const status = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8');
      const numbers = /^NSpid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/);
      if (Number(numbers?.at(-1)) === inside) return tid;
    } catch {
      // It has just ended.
    }
  }
  return undefined;
}

/** Oldest first; none of a process that is gone. */
export function threadsOf(pid: number): number[] {
  return namesIfThere(`/proc/${pid}/task`).map(Number);
}
