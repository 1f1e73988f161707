/** CPU time of another process, from the kernel's counters of its threads. */

import { listThreads } from '../src/linux/process.js';
import { ThreadStat } from '../src/linux/procfs.js';

/**
 * Starts counting; the returned function says how much the threads of now have used since, nanoseconds, and ends it.
 * With a core, only threads count that are bound to it.
 */
export function cpuTimeNs(pid: number, core?: number): () => number {
  const threads = listThreads(pid).filter(({ cpus }) => core === undefined || cpus.join() === `${core}`);
  const stats = threads.map(({ tid }) => new ThreadStat(pid, tid));
  const sum = (): number => stats.reduce((total, stat) => total + (stat.read() ? stat.runNs : 0), 0);
  const before = sum();
  return () => {
    const used = sum() - before;
    for (const stat of stats) stat.close();
    return used;
  };
}
