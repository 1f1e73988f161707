/** A sandbox that is a thread among others: memory by its own word, CPU time by its group's. */

import type { Instance } from '../../pool/instance.js';
import type { PerfCollector, PerfSample } from './collector.js';

export class ThreadCollector implements PerfCollector {
  /** CPU time of each when it was last looked at. */
  private cpuNs = new Map<string, number>();
  private collectedMs = 0;

  fits({ sandbox }: Instance): boolean {
    return sandbox?.heldBytes !== undefined;
  }

  async collect(workers: readonly Instance[], nowMs: number): Promise<ReadonlyMap<string, PerfSample>> {
    const found = new Map<string, PerfSample>();
    const seen = new Map<string, number>();
    for (const { id, cgroup, sandbox } of workers) {
      try {
        const { cpuNs } = cgroup.usage();
        const ranNs = cpuNs - (this.cpuNs.get(id) ?? cpuNs);
        seen.set(id, cpuNs);
        const cpuRatio = ranNs / 1e6 / Math.max(1, nowMs - this.collectedMs);
        found.set(id, { memoryBytes: sandbox?.heldBytes ?? 0, cpuRatio });
      } catch {
        // It has just ended.
      }
    }
    this.cpuNs = seen;
    this.collectedMs = nowMs;
    return found;
  }

  close(): void {
    this.cpuNs.clear();
  }
}
