/**
 * cgroup v1 and hybrid: one group is up to six directories, one a hierarchy, fewer where controllers share a mount.
 * Easily missed: a new cpuset has neither cores nor memory nodes and refuses members until it has both; a frozen
 * member does not die of SIGKILL before it is thawed.
 */

import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { NemoError } from '../../model/errors.js';
import { CGROUP } from '../../tunables/index.js';
import { leftInCpuset } from '../allowed-cores.js';
import { formatCpuList } from '../process.js';
import type {
  Cgroup,
  CgroupDriver,
  CgroupDriverOptions,
  CgroupHandle,
  CgroupLimits,
  CgroupUsage,
  Controller,
} from './driver.js';
import {
  childGroups,
  makeGroup,
  readControl,
  readKeyed,
  removeTree,
  tryWrite,
  useOtherCores,
  writeControl,
} from './files.js';
import { allMembers, killUntilEmpty, removeUntilGone, signalAll } from './kill-group.js';
import type { CgroupMounts } from './mounts.js';
import { checkName } from './names.js';

const CONTROLLERS = ['memory', 'pids', 'cpuset', 'cpuacct', 'cpu', 'freezer'] as const;
/** The smallest that there is: with larger ones the limit is lower than it could be. */
const PAGE_BYTES = 4096;
type V1Controller = (typeof CONTROLLERS)[number];
/** Directory of a group in each hierarchy that has the controller. */
type Directories = Partial<Record<V1Controller, string | undefined>>;

/** The file that proves that a mounted controller can do what NEMO asks of it. */
const NEEDED_FILE: Record<Controller, string> = {
  memory: 'memory.limit_in_bytes',
  pids: 'pids.max',
  cpuset: 'cpuset.cpus',
  cpu: 'cpu.cfs_quota_us',
  freezer: 'freezer.state',
};

export class CgroupV1Driver implements CgroupDriver {
  readonly layout: 'v1' | 'hybrid';
  readonly missing: readonly Controller[];
  readonly idleGroup: boolean;
  private readonly root: Directories = {};
  private readonly rootName: string;
  private readonly idle: boolean;
  private readonly alsoJoin: readonly string[];
  private readonly capUs: number;

  sharedMemoryMaxBytes = Number.POSITIVE_INFINITY;
  private totalBytes = -1;

  readonly otherPaths: readonly string[];

  get rootPaths(): readonly string[] {
    return unique(this.root);
  }

  /** Makes the root group, or takes over one that is there. Throws UNSUPPORTED without cpuacct, SYSCALL otherwise. */
  constructor(mounts: CgroupMounts, options: CgroupDriverOptions, hierarchies: readonly string[] = []) {
    this.rootName = checkName(options.rootName);
    this.idle = options.idle;
    this.alsoJoin = options.alsoJoin ?? [];
    this.capUs = options.capCores ? Math.round(options.capCores * CGROUP.quotaPeriodUs) : -1;
    this.layout = mounts.v2 === undefined ? 'v1' : 'hybrid';
    for (const controller of CONTROLLERS) {
      const mount = mounts.v1.get(controller);
      if (mount !== undefined) this.root[controller] = `${mount}/${this.rootName}`;
    }
    const own = new Set(unique(this.root));
    this.otherPaths = hierarchies
      .map((mount) => `${mount}/${this.rootName}`)
      .filter((path) => !own.has(path));
    if (this.root.cpuacct === undefined) {
      throw new NemoError('UNSUPPORTED', 'the cpuacct cgroup controller is not mounted', {
        hint: 'mkdir -p /sys/fs/cgroup/cpuacct && mount -t cgroup -o cpuacct cgroup /sys/fs/cgroup/cpuacct',
      });
    }
    this.makeRoot();
    this.missing = (Object.keys(NEEDED_FILE) as Controller[]).filter((controller) => {
      const directory = this.root[controller];
      return directory === undefined || !existsSync(`${directory}/${NEEDED_FILE[controller]}`);
    });
    this.idleGroup = this.yieldToOthers();
    this.cap();
  }

  create(name: string, limits: CgroupLimits): Cgroup {
    checkName(name);
    this.makeRoot();
    const made: string[] = [];
    try {
      const directories = within(this.root, name);
      for (const directory of unique(directories)) {
        makeGroup(directory);
        made.push(directory);
      }
      inheritCpuset(directories.cpuset, this.root.cpuset);
      if (!this.missing.includes('cpu'))
        writeControl(`${directories.cpu}/cpu.cfs_period_us`, CGROUP.quotaPeriodUs);
      const group = new CgroupV1(name, directories, this.missing, this.alsoJoin);
      if (limits.memoryMaxBytes !== undefined) group.setMemoryMax(limits.memoryMaxBytes);
      if (limits.pidsMax !== undefined) group.setPidsMax(limits.pidsMax);
      if (limits.cpus !== undefined) group.setCpus(limits.cpus);
      return group;
    } catch (thrown) {
      for (const directory of made) removeTree(directory);
      throw thrown;
    }
  }

  limitMemory(totalBytes: number, sharedMaxBytes: number): boolean {
    this.totalBytes = totalBytes;
    this.sharedMemoryMaxBytes = sharedMaxBytes;
    this.makeRoot();
    return this.capMemory();
  }

  list(): string[] {
    return [...new Set(unique(this.root).flatMap(childGroups))].sort();
  }

  async removeAll(): Promise<void> {
    await killGroups(this.root);
    await removeUntilGone(unique(this.root));
    // Whoever was in them was in a group of ours too. What still has members is nobody's of ours, and stays.
    for (const path of this.otherPaths) if (existsSync(path)) removeTree(path);
  }

  /** Also after `removeAll`: a root that is made again has to yield, and to be capped, again. */
  private makeRoot(): void {
    const { cpuset } = this.root;
    const made: string[] = [];
    try {
      for (const directory of unique(this.root)) {
        if (existsSync(directory)) continue;
        makeGroup(directory);
        made.push(directory);
      }
      if (cpuset !== undefined) this.shareCpuset(cpuset);
    } catch (thrown) {
      for (const directory of made) removeTree(directory);
      throw thrown;
    }
    if (made.length === 0) return;
    this.yieldToOthers();
    this.cap();
  }

  /** The root group has all that the one above it has, but for what others there have for themselves alone. */
  private shareCpuset(cpuset: string): void {
    for (const file of ['cpuset.mems', 'cpuset.cpus'] as const) {
      if (readControl(`${cpuset}/${file}`) !== '') continue;
      writeControl(`${cpuset}/${file}`, formatCpuList(leftInCpuset(dirname(cpuset), this.rootName, file)));
    }
  }

  /** Also takes a cap away that an agent before this one left. */
  private cap(): void {
    const { cpu, memory } = this.root;
    this.capMemory();
    const socketBytes = boxSocketBytes();
    if (memory !== undefined && socketBytes !== undefined)
      limitSockets(memory, socketBytes * CGROUP.socketBoxRatio);
    if (cpu === undefined) return;
    tryWrite(`${cpu}/cpu.cfs_period_us`, CGROUP.quotaPeriodUs);
    tryWrite(`${cpu}/cpu.cfs_quota_us`, this.capUs);
  }

  private capMemory(): boolean {
    const { memory } = this.root;
    if (memory === undefined || this.totalBytes < 0) return false;
    // Below the soft limit of nobody else: under pressure, functions give pages back before NFs do.
    tryWrite(`${memory}/memory.soft_limit_in_bytes`, 0);
    return tryWrite(`${memory}/memory.limit_in_bytes`, this.totalBytes);
  }

  /** `cpu.idle`, or on kernels before 5.15 the smallest share there is. */
  private yieldToOthers(): boolean {
    const { cpu } = this.root;
    if (cpu === undefined) return false;
    if (!this.idle) {
      tryWrite(`${cpu}/cpu.idle`, 0);
      return false;
    }
    if (tryWrite(`${cpu}/cpu.idle`, 1)) return true;
    tryWrite(`${cpu}/cpu.shares`, 2);
    return false;
  }
}

class CgroupV1 implements Cgroup {
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
 * What waits in sockets of TCP and UDP: v1 counts it apart from other memory, and only where it is limited before the first
 * socket is made. Not counted, one function fills what the whole box may have (`tcp_mem`), and nobody's TCP goes on.
 */
function limitSockets(memory: string, bytes: number): void {
  tryWrite(`${memory}/memory.kmem.tcp.limit_in_bytes`, Math.floor(bytes));
}

/** From where on the kernel is short of it. Undefined where it does not say so: in a network namespace of its own. */
function boxSocketBytes(): number | undefined {
  try {
    const pages = ['tcp', 'udp'].map((protocol) => {
      const text = readFileSync(`/proc/sys/net/ipv4/${protocol}_mem`, 'utf8');
      return Number(text.split(/\s+/)[0]);
    });
    return Math.min(...pages) * PAGE_BYTES;
  } catch {
    return undefined;
  }
}

function unique(directories: Directories): string[] {
  return [...new Set(CONTROLLERS.flatMap((controller) => directories[controller] ?? []))];
}

function within(root: Directories, name: string): Directories {
  const entries = Object.entries(root).map(([controller, directory]) => [controller, `${directory}/${name}`]);
  return Object.fromEntries(entries) as Directories;
}

function inheritCpuset(directory: string | undefined, parent: string | undefined): void {
  if (directory === undefined || parent === undefined) return;
  for (const file of ['cpuset.mems', 'cpuset.cpus']) {
    if (readControl(`${directory}/${file}`) === '')
      writeControl(`${directory}/${file}`, readControl(`${parent}/${file}`));
  }
}

/**
 * Frozen, nobody can fork and no pid can be reused, so the list is complete; the signals take effect on thawing.
 * Groups below may be frozen on their own account, so every one is thawed.
 */
function killGroups(directories: Directories): Promise<void> {
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
