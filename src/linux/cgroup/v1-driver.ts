/**
 * cgroup v1 and hybrid: makes and lists groups, and bounds them together by their root. Easily missed: a new cpuset has
 * neither cores nor memory nodes and refuses members until it has both.
 */

import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { NemoError } from '../../model/errors.js';
import { CGROUP } from '../../tunables/index.js';
import { leftInCpuset } from '../allowed-cores.js';
import { formatCpuList } from '../process.js';
import type { Cgroup, CgroupDriver, CgroupDriverOptions, CgroupLimits, Controller } from './driver.js';
import { childGroups, makeGroup, readControl, removeTree, tryWrite, writeControl } from './files.js';
import { removeUntilGone } from './kill-group.js';
import { applyLimits, yieldToOthers } from './limits.js';
import type { CgroupMounts } from './mounts.js';
import { checkName } from './names.js';
import { type Directories, unique, V1_CONTROLLERS, within } from './v1-directories.js';
import { CgroupV1, killGroups } from './v1-group.js';
import { boxSocketBytes, limitSockets } from './v1-sockets.js';

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
    for (const controller of V1_CONTROLLERS) {
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
      applyLimits(group, limits);
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

  private yieldToOthers(): boolean {
    const { cpu } = this.root;
    return cpu !== undefined && yieldToOthers(cpu, this.idle, { file: 'cpu.shares', value: 2 });
  }
}

function inheritCpuset(directory: string | undefined, parent: string | undefined): void {
  if (directory === undefined || parent === undefined) return;
  for (const file of ['cpuset.mems', 'cpuset.cpus']) {
    if (readControl(`${directory}/${file}`) === '')
      writeControl(`${directory}/${file}`, readControl(`${parent}/${file}`));
  }
}
