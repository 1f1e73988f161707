/**
 * cgroup v2: one directory a group. A controller reaches a group only if every group above it has the controller in
 * `cgroup.subtree_control`, and a group that passes controllers on may hold no processes of its own (except the real
 * root): so the agent's root group never has members, only the sandboxes' groups below it have.
 */

import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { CGROUP } from '../../tunables/index.js';
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
  errnoOf,
  makeGroup,
  membersOf,
  readControl,
  readKeyed,
  removeTree,
  tryWrite,
  useOtherCores,
  writeControl,
} from './files.js';
import { allMembers, killUntilEmpty, removeUntilGone, signalAll } from './kill-group.js';
import { checkName } from './names.js';
import { stepAside, stepBack } from './peers.js';

/** What the kernel answers for a controller that it lacks, that v1 holds, or that this place may not have. */
const REFUSALS = ['EBUSY', 'EINVAL', 'ENOENT', 'EOPNOTSUPP', 'ENOTSUP'];

const PASSED_ON = ['cpu', 'cpuset', 'memory', 'pids'] as const;
/** Those that a group of threads can have: memory belongs to a whole process. */
const THREADED = ['cpu', 'cpuset', 'pids'] as const;

export class CgroupV2Driver implements CgroupDriver {
  readonly layout = 'v2';
  readonly missing: readonly Controller[];
  readonly idleGroup: boolean;
  private readonly root: string;
  private readonly base: string;
  private readonly peers: string;
  private readonly idle: boolean;
  private readonly alsoJoin: readonly string[];
  private readonly cpuMax: string;

  sharedMemoryMaxBytes = Number.POSITIVE_INFINITY;
  private totalBytes = -1;

  readonly otherPaths: readonly string[] = [];

  get rootPaths(): readonly string[] {
    return [this.root];
  }

  /** `base`: the cgroup2 mount or a delegated directory in it. Makes the root group or takes over one that is there. */
  constructor(base: string, options: CgroupDriverOptions) {
    this.base = base;
    this.root = `${base}/${checkName(options.rootName)}`;
    this.peers = `${this.root}-peers`;
    this.idle = options.idle;
    this.alsoJoin = options.alsoJoin ?? [];
    const capUs = options.capCores ? Math.round(options.capCores * CGROUP.quotaPeriodUs) : 'max';
    this.cpuMax = `${capUs} ${CGROUP.quotaPeriodUs}`;
    this.makeRoot();
    const missing: Controller[] = PASSED_ON.filter((controller) => !this.passesOn(controller));
    if (!existsSync(`${this.root}/cgroup.freeze`)) missing.push('freezer');
    if (!missing.includes('cpu') && !existsSync(`${this.root}/cpu.max`)) missing.push('cpu');
    this.missing = missing;
    this.idleGroup = this.yieldToOthers();
    this.cap();
  }

  create(name: string, limits: CgroupLimits, threadsOf?: Cgroup): Cgroup {
    checkName(name);
    this.makeRoot();
    const parent = threadsOf === undefined ? this.root : `${this.root}/${checkName(threadsOf.name)}`;
    const directory = `${parent}/${name}`;
    makeGroup(directory);
    try {
      if (threadsOf !== undefined) {
        // In this order: with processes in it, the parent may pass controllers on to threaded groups only.
        writeControl(`${directory}/cgroup.type`, 'threaded');
        for (const controller of THREADED) enable(parent, controller);
      }
      const missing: Controller[] = threadsOf === undefined ? [] : ['memory'];
      const group = new CgroupV2(name, directory, [...this.missing, ...missing], this.alsoJoin);
      if (limits.memoryMaxBytes !== undefined) group.setMemoryMax(limits.memoryMaxBytes);
      if (limits.pidsMax !== undefined) group.setPidsMax(limits.pidsMax);
      if (limits.cpus !== undefined) group.setCpus(limits.cpus);
      return group;
    } catch (thrown) {
      removeTree(directory);
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
    return childGroups(this.root).sort();
  }

  async removeAll(): Promise<void> {
    await killGroup(this.root);
    await removeUntilGone([this.root]);
    stepBack(this.base, this.peers, PASSED_ON);
  }

  /** Also after `removeAll`: a root that is made again has to yield, and to be capped, again. */
  private makeRoot(): void {
    if (existsSync(this.root)) return;
    // Before anything is enabled: with processes in it, `cpu` alone would be let through and make the base threaded.
    try {
      stepAside(this.base, this.peers);
      makeGroup(this.root);
      // One by one: a single controller that the kernel refuses would otherwise take the others with it.
      for (const controller of PASSED_ON) {
        enable(this.base, controller);
        enable(this.root, controller);
      }
    } catch (thrown) {
      removeTree(this.root);
      stepBack(this.base, this.peers, PASSED_ON);
      throw thrown;
    }
    this.yieldToOthers();
    this.cap();
  }

  /** Also takes a cap away that an agent before this one left. */
  private cap(): void {
    tryWrite(`${this.root}/cpu.max`, this.cpuMax);
    this.capMemory();
  }

  private capMemory(): boolean {
    if (this.totalBytes < 0) return false;
    return tryWrite(`${this.root}/memory.max`, this.totalBytes);
  }

  private passesOn(controller: string): boolean {
    return readControl(`${this.root}/cgroup.subtree_control`).split(' ').includes(controller);
  }

  /** `cpu.idle`, or on kernels before 5.15 the smallest weight there is. */
  private yieldToOthers(): boolean {
    if (!this.idle) {
      tryWrite(`${this.root}/cpu.idle`, 0);
      return false;
    }
    if (tryWrite(`${this.root}/cpu.idle`, 1)) return true;
    tryWrite(`${this.root}/cpu.weight`, 1);
    return false;
  }
}

class CgroupV2 implements Cgroup {
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

/** Best effort: what came of it stands in the file. */
function enable(directory: string, controller: string): void {
  try {
    writeControl(`${directory}/cgroup.subtree_control`, `+${controller}`);
  } catch (thrown) {
    if (!REFUSALS.includes(errnoOf(thrown))) throw thrown;
  }
}

/**
 * `cgroup.kill` (5.14) reaches the whole tree, frozen members too, and holds off forks meanwhile. Older kernels:
 * freeze, signal (on v2 a frozen process dies at once), thaw.
 */
function killGroup(directory: string): Promise<void> {
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
