/** A sandbox that is a small tree of processes, named by its group: by pidusage. */

import pidusage from 'pidusage';
import { processesOf } from '../../linux/cgroup/files.js';
import type { Instance } from '../../pool/instance.js';
import { FEED } from '../../tunables/index.js';
import type { PerfCollector, PerfSample } from './collector.js';

/** pidusage keeps a file open for each process it was asked about; by default for a minute after its end. */
const KEPT_MS = 3 * FEED.usagePeriodMs;

export class ProcessTreeCollector implements PerfCollector {
  fits(): boolean {
    return true;
  }

  async collect(workers: readonly Instance[]): Promise<ReadonlyMap<string, PerfSample>> {
    const pidsOf = new Map(workers.map((worker) => [worker.id, pidsIn(worker)]));
    const all = [...pidsOf.values()].flat();
    if (all.length === 0) return new Map();
    const stats = await pidusage(all, { maxage: KEPT_MS });
    const found = new Map<string, PerfSample>();
    for (const [id, pids] of pidsOf) {
      const usage = { memoryBytes: 0, cpuRatio: 0 };
      for (const pid of pids) {
        const stat = stats[pid];
        // A process may have ended meanwhile.
        if (stat === undefined || stat === null) continue;
        usage.memoryBytes += stat.memory;
        usage.cpuRatio += stat.cpu / 100;
      }
      found.set(id, usage);
    }
    return found;
  }

  close(): void {
    pidusage.clear();
  }
}

function pidsIn({ sandbox }: Instance): number[] {
  const hasGroup = sandbox?.cgroup.joinPaths[0] !== undefined;
  return hasGroup ? [...processesOf(sandbox.cgroup)] : [];
}
