/** One group of cgroup v2: one directory. A group of threads is a threaded cgroup, which has no memory limit of its own. */

import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { CGROUP } from '../../tunables/index.js';
import { formatCpuList } from '../process.js';
import type { Cgroup, CgroupHandle, CgroupUsage, Controller } from './driver.js';
import { membersOf, readControl, readKeyed, tryWrite, useOtherCores, writeControl } from './files.js';
import { allMembers, killUntilEmpty, removeUntilGone, signalAll } from './kill-group.js';

export class CgroupV2 implements Cgroup {
  readonly joinPaths: readonly string[];
  readonly handle: CgroupHandle;

  constructor(
    readonly name: string,
    private readonly directory: string,
    private readonly missing: readonly Controller[],
    alsoJoin: readonly string[],
  ) {
    this.joinPaths = [`${directory}/cgroup.procs`, ...alsoJoin];
    this.handle = {
      name,
      version: 'v2',
      cpuUsagePath: `${directory}/cpu.stat`,
      kernelTimePath: `${directory}/cpu.stat`,
      memoryStatPath: this.has('memory') ? `${directory}/memory.stat` : undefined,
      quotaPath: this.has('cpu') ? `${directory}/cpu.max` : undefined,
      quotaPeriodUs: CGROUP.quotaPeriodUs,
      freezePath: this.has('freezer') ? `${directory}/cgroup.freeze` : undefined,
    };
  }

  adoptThread(tid: number): void {
    writeControl(`${this.directory}/cgroup.threads`, tid);
  }

  release(): void {
    tryWrite(`${this.directory}/cpu.max`, 'max');
    useOtherCores(this.directory, `${dirname(this.directory)}/cpuset.cpus.effective`);
    tryWrite(`${this.directory}/cgroup.freeze`, 0);
  }

  setMemoryMax(bytes: number): void {
    if (!this.has('memory')) return;
    writeControl(`${this.directory}/memory.max`, bytes);
    const swap = `${this.directory}/memory.swap.max`;
    if (existsSync(swap)) writeControl(swap, 0);
  }

  setPidsMax(count: number): void {
    if (this.has('pids')) writeControl(`${this.directory}/pids.max`, count);
  }

  setWeight(weight: 'normal' | 'low'): void {
    if (this.has('cpu')) writeControl(`${this.directory}/cpu.weight`, weight === 'low' ? 1 : 100);
  }

  setCpus(cpus: readonly number[]): void {
    if (this.has('cpuset')) writeControl(`${this.directory}/cpuset.cpus`, formatCpuList(cpus));
  }

  usage(): CgroupUsage {
    const { directory } = this;
    return {
      cpuNs: readKeyed(`${directory}/cpu.stat`, 'usage_usec') * 1_000,
      memoryBytes: this.has('memory') ? Number(readControl(`${directory}/memory.current`)) : 0,
      pids: this.has('pids') ? Number(readControl(`${directory}/pids.current`)) : membersOf(directory).size,
    };
  }

  oomKills(): number {
    return this.has('memory') ? readKeyed(`${this.directory}/memory.events`, 'oom_kill') : 0;
  }

  kill(): Promise<void> {
    return killGroup(this.directory);
  }

  async remove(): Promise<void> {
    await this.kill();
    await removeUntilGone([this.directory]);
  }

  private has(controller: Controller): boolean {
    return !this.missing.includes(controller);
  }
}

/**
 * `cgroup.kill` (5.14) reaches the whole tree, frozen members too, and holds off forks meanwhile. Older kernels:
 * freeze, signal (on v2 a frozen process dies at once), thaw.
 */
export function killGroup(directory: string): Promise<void> {
  return killUntilEmpty({
    directories: [directory],
    widen() {
      useOtherCores(directory, `${dirname(directory)}/cpuset.cpus.effective`);
    },
    async strike() {
      tryWrite(`${directory}/cpu.max`, 'max');
      if (tryWrite(`${directory}/cgroup.kill`, 1)) return;
      const wasFrozen = tryWrite(`${directory}/cgroup.freeze`, 1);
      signalAll(allMembers([directory]));
      if (wasFrozen) tryWrite(`${directory}/cgroup.freeze`, 0);
    },
  });
}
