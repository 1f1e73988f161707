/**
 * Memory and CPU of each sandbox, by pidusage, once a second while somebody looks. It reads the processes that the
 * sandbox's group names, since a sandbox is a small tree of them.
 */

import { dirname } from 'node:path';
import pidusage from 'pidusage';
import type { Worker } from '../invoke/worker.js';
import { membersOf } from '../linux/cgroup/files.js';
import { FEED } from '../tunables.js';

export interface Usage {
  memoryBytes: number;
  /** Share of one core over the last second. */
  cpuRatio: number;
}

const NONE: Usage = { memoryBytes: 0, cpuRatio: 0 };

export class SandboxUsage {
  private readonly known = new Map<string, Usage>();
  private nextMs = 0;
  private running = false;

  of(sandboxId: string): Usage {
    return this.known.get(sandboxId) ?? NONE;
  }

  /** Starts a look if the last one is old enough; never waits for it. */
  sample(workers: Iterable<Worker>): void {
    const nowMs = performance.now();
    if (this.running || nowMs < this.nextMs) return;
    this.nextMs = nowMs + FEED.usagePeriodMs;
    const pidsOf = new Map<string, number[]>();
    for (const worker of workers) {
      if (worker.sandbox !== undefined) pidsOf.set(worker.id, pidsIn(worker));
    }
    for (const id of this.known.keys()) if (!pidsOf.has(id)) this.known.delete(id);
    const all = [...pidsOf.values()].flat();
    if (all.length === 0) return;
    this.running = true;
    pidusage(all)
      .then((stats) => {
        for (const [id, pids] of pidsOf) {
          const usage = { memoryBytes: 0, cpuRatio: 0 };
          for (const pid of pids) {
            const stat = stats[pid];
            // A process may have ended meanwhile.
            if (stat === undefined || stat === null) continue;
            usage.memoryBytes += stat.memory;
            usage.cpuRatio += stat.cpu / 100;
          }
          this.known.set(id, usage);
        }
      })
      // Every process was gone: the next look sees the new ones.
      .catch(() => undefined)
      .finally(() => {
        this.running = false;
      });
  }

  close(): void {
    pidusage.clear();
  }
}

function pidsIn(worker: Worker): number[] {
  const file = worker.sandbox?.cgroup.joinPaths[0];
  return file === undefined ? [] : [...membersOf(dirname(file))];
}
