/**
 * Whoever writes into a pipe that is watched by epoll hundreds of thousands of times wakes all that watch it: tens of
 * milliseconds in which the agent's thread does nothing else. The kernel bounds watches by users only, and far above. So
 * when the thread spends much time in the kernel, those who hold very many are found and ended.
 */

import { readFileSync } from 'node:fs';
import type { Cgroup } from '../linux/cgroup/driver.js';
import { processesOf } from '../linux/cgroup/files.js';
import { countWatches } from '../linux/epoll-counts.js';
import { NemoError } from '../model/errors.js';
import { WATCHES } from '../tunables/index.js';
import { Rest } from './rest.js';

/** In /proc, whatever the kernel's own tick is. */
const TICK_MS = 10;

export class EpollWatch<T extends { readonly cgroup: Cgroup }> {
  private checking = false;
  private readonly rest = new Rest(WATCHES.restTimes);
  private lastMs = performance.now();
  private lastKernelMs = kernelMs();

  /** Those of `sandboxes` that hold more than they may; none where the thread has not been kept in the kernel. */
  async above(sandboxes: Iterable<T>): Promise<T[]> {
    const [nowMs, nowKernelMs] = [performance.now(), kernelMs()];
    const ratio = (nowKernelMs - this.lastKernelMs) / (nowMs - this.lastMs);
    this.lastMs = nowMs;
    this.lastKernelMs = nowKernelMs;
    if (this.checking || !this.rest.isOver(nowMs) || !(ratio > WATCHES.kernelTimeRatio)) return [];
    this.checking = true;
    try {
      return await holdersAmong(sandboxes);
    } finally {
      this.checking = false;
      this.rest.begin(nowMs);
    }
  }
}

async function holdersAmong<T extends { readonly cgroup: Cgroup }>(sandboxes: Iterable<T>): Promise<T[]> {
  const found = [];
  for (const sandbox of [...sandboxes]) {
    const pids = processesOf(sandbox.cgroup);
    if ((await countWatches(pids, WATCHES.perSandboxMax)) > WATCHES.perSandboxMax) found.push(sandbox);
  }
  return found;
}

export function tooManyWatches(functionName: string): NemoError {
  return new NemoError(
    'FUNCTION_OOM',
    `${functionName} watched more than ${WATCHES.perSandboxMax} files by epoll`,
    { hint: 'watch each file once' },
  );
}

/** Of this thread. */
function kernelMs(): number {
  const stat = readFileSync('/proc/thread-self/stat', 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')')).split(' ')[13]) * TICK_MS;
}
