/**
 * Memory and CPU of each sandbox, once a second while somebody looks: by pidusage for a sandbox that is a small tree
 * of processes, named by its group; by its own word and its group's time for one that is a thread among others.
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

/** pidusage keeps a file open for each process it was asked about; by default for a minute after its end. */
const KEPT_MS = 3 * FEED.usagePeriodMs;

const NONE: Usage = { memoryBytes: 0, cpuRatio: 0 };

export class SandboxUsage {
  private readonly known = new Map<string, Usage>();
  /** CPU time of each thread's group when it was last looked at. */
  private cpuNs = new Map<string, number>();
  private sampledMs = 0;
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
    const threads = new Map<string, number>();
    for (const worker of workers) {
      if (worker.sandbox?.heldBytes !== undefined)
        this.sampleThread(worker, worker.sandbox.heldBytes, threads, nowMs);
      else if (worker.sandbox !== undefined) pidsOf.set(worker.id, pidsIn(worker));
    }
    this.cpuNs = threads;
    this.sampledMs = nowMs;
    for (const id of this.known.keys()) if (!pidsOf.has(id) && !threads.has(id)) this.known.delete(id);
    const all = [...pidsOf.values()].flat();
    if (all.length === 0) return;
    this.running = true;
    pidusage(all, { maxage: KEPT_MS })
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

  private sampleThread(worker: Worker, memoryBytes: number, seen: Map<string, number>, nowMs: number): void {
    try {
      const { cpuNs } = worker.cgroup.usage();
      const before = this.cpuNs.get(worker.id) ?? cpuNs;
      const cpuRatio = (cpuNs - before) / 1e6 / Math.max(1, nowMs - this.sampledMs);
      seen.set(worker.id, cpuNs);
      this.known.set(worker.id, { memoryBytes, cpuRatio });
    } catch {
      // It has just ended.
    }
  }

  close(): void {
    pidusage.clear();
  }
}

function pidsIn(worker: Worker): number[] {
  const file = worker.sandbox?.cgroup.joinPaths[0];
  return file === undefined ? [] : [...membersOf(dirname(file))];
}
