/**
 * One group of cgroup v1 or hybrid. Easily missed: a frozen member does not die of SIGKILL before it is thawed, and the
 * kernel keeps memory <= memory + swap at every moment.
 */

import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { CGROUP } from '../../tunables/index.js';
import { leftInCpuset } from '../allowed-cores.js';
import { formatCpuList } from '../process.js';
import type { Cgroup, CgroupHandle, CgroupUsage, Controller } from './driver.js';
import { childGroups, readControl, readKeyed, tryWrite, useOtherCores, writeControl } from './files.js';
import { allMembers, killUntilEmpty, removeUntilGone, signalAll } from './kill-group.js';
import { type Directories, unique } from './v1-directories.js';
import { limitSockets } from './v1-sockets.js';

export class CgroupV1 implements Cgroup {
  readonly joinPaths: readonly string[];
  readonly handle: CgroupHandle;

  constructor(
    readonly name: string,
    private readonly directories: Directories,
    private readonly missing: readonly Controller[],
    alsoJoin: readonly string[],
  ) {
    const { cpu, cpuacct, freezer, memory } = directories;
    this.joinPaths = [...unique(directories).map((directory) => `${directory}/cgroup.procs`), ...alsoJoin];
    this.handle = {
      name,
      version: 'v1',
      cpuUsagePath: `${cpuacct}/cpuacct.usage`,
      kernelTimePath: `${cpuacct}/cpuacct.usage_sys`,
      memoryStatPath: this.has('memory') ? `${memory}/memory.stat` : undefined,
      quotaPath: this.has('cpu') ? `${cpu}/cpu.cfs_quota_us` : undefined,
      ...(this.has('cpu') ? { periodPath: `${cpu}/cpu.cfs_period_us` } : {}),
      quotaPeriodUs: CGROUP.quotaPeriodUs,
      freezePath: this.has('freezer') ? `${freezer}/freezer.state` : undefined,
    };
  }

  adoptThread(tid: number): void {
    for (const directory of unique({ ...this.directories, memory: undefined })) {
      writeControl(`${directory}/tasks`, tid);
    }
  }

  release(): void {
    const { cpu, cpuset, freezer } = this.directories;
    if (cpu !== undefined) tryWrite(`${cpu}/cpu.cfs_quota_us`, -1);
    if (cpuset !== undefined) useOtherCores(cpuset, `${dirname(cpuset)}/cpuset.cpus`);
    if (freezer !== undefined) thawTree(freezer);
  }

  /** Memory without swap. The kernel keeps memory <= memory + swap at every moment, hence the order. */
  setMemoryMax(bytes: number): void {
    if (!this.has('memory')) return;
    const memory = `${this.directories.memory}/memory.limit_in_bytes`;
    limitSockets(this.directories.memory!, bytes * CGROUP.socketRatio);
    const withSwap = `${this.directories.memory}/memory.memsw.limit_in_bytes`;
    if (!existsSync(withSwap)) {
      writeControl(memory, bytes);
      tryWrite(`${this.directories.memory}/memory.swappiness`, 0);
      return;
    }
    const growing = Number(readControl(withSwap)) < bytes;
    writeControl(growing ? withSwap : memory, bytes);
    writeControl(growing ? memory : withSwap, bytes);
  }

  setPidsMax(count: number): void {
    if (this.has('pids')) writeControl(`${this.directories.pids}/pids.max`, count);
  }

  setWeight(weight: 'normal' | 'low'): void {
    // 2 is the smallest share there is.
    if (this.has('cpu')) writeControl(`${this.directories.cpu}/cpu.shares`, weight === 'low' ? 2 : 1024);
  }

  setCpus(cpus: readonly number[]): void {
    if (!this.has('cpuset')) return;
    const { cpuset } = this.directories;
    const list = formatCpuList(cpus);
    if (tryWrite(`${cpuset}/cpuset.cpus`, list)) return;
    // A core that was unplugged is gone from every v1 group for good, also when it is back.
    const root = dirname(cpuset!);
    const left = leftInCpuset(dirname(root), basename(root), 'cpuset.cpus');
    tryWrite(`${root}/cpuset.cpus`, formatCpuList(left));
    writeControl(`${cpuset}/cpuset.cpus`, list);
  }

  usage(): CgroupUsage {
    const { cpuacct, memory, pids } = this.directories;
    return {
      cpuNs: Number(readControl(`${cpuacct}/cpuacct.usage`)),
      memoryBytes: this.has('memory') ? Number(readControl(`${memory}/memory.usage_in_bytes`)) : 0,
      pids: this.has('pids')
        ? Number(readControl(`${pids}/pids.current`))
        : allMembers(unique(this.directories)).size,
    };
  }

  oomKills(): number {
    return this.has('memory') ? readKeyed(`${this.directories.memory}/memory.oom_control`, 'oom_kill') : 0;
  }

  kill(): Promise<void> {
    return killGroups(this.directories);
  }

  async remove(): Promise<void> {
    await this.kill();
    await removeUntilGone(unique(this.directories));
  }

  private has(controller: Controller): boolean {
    return this.directories[controller] !== undefined && !this.missing.includes(controller);
  }
}

/**
 * Frozen, nobody can fork and no pid can be reused, so the list is complete; the signals take effect on thawing.
 * Groups below may be frozen on their own account, so every one is thawed.
 */
export function killGroups(directories: Directories): Promise<void> {
  const all = unique(directories);
  const { freezer, pids, cpu, cpuset } = directories;
  return killUntilEmpty({
    directories: all,
    widen() {
      if (cpuset !== undefined) useOtherCores(cpuset, `${dirname(cpuset)}/cpuset.cpus`);
    },
    async strike() {
      if (cpu !== undefined) tryWrite(`${cpu}/cpu.cfs_quota_us`, -1);
      if (freezer !== undefined) await freezeFully(freezer);
      else if (pids !== undefined) tryWrite(`${pids}/pids.max`, 0);
      signalAll(allMembers(all));
      if (freezer !== undefined) thawTree(freezer);
    },
  });
}

async function freezeFully(freezer: string): Promise<void> {
  const state = `${freezer}/freezer.state`;
  const deadline = performance.now() + CGROUP.freezeWaitMs;
  if (!tryWrite(state, 'FROZEN')) return;
  while (readControl(state) !== 'FROZEN' && performance.now() < deadline) await pause(CGROUP.pollMinMs);
}

function thawTree(freezer: string): void {
  for (const child of childGroups(freezer)) thawTree(`${freezer}/${child}`);
  tryWrite(`${freezer}/freezer.state`, 'THAWED');
}
