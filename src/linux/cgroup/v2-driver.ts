/**
 * cgroup v2: one directory a group. A controller reaches a group only if every group above it has the controller in
 * `cgroup.subtree_control`, and a group that passes controllers on may hold no processes of its own (except the real
 * root): so the agent's root group never has members, only the sandboxes' groups below it have.
 */

import { existsSync } from 'node:fs';
import { CGROUP } from '../../tunables/index.js';
import type { Cgroup, CgroupDriver, CgroupDriverOptions, CgroupLimits, Controller } from './driver.js';
import { childGroups, errnoOf, makeGroup, readControl, removeTree, tryWrite, writeControl } from './files.js';
import { removeUntilGone } from './kill-group.js';
import { applyLimits, yieldToOthers } from './limits.js';
import { checkName } from './names.js';
import { stepAside, stepBack } from './step-aside.js';
import { CgroupV2, killGroup } from './v2-group.js';

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
      applyLimits(group, limits);
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

  private yieldToOthers(): boolean {
    return yieldToOthers(this.root, this.idle, { file: 'cpu.weight', value: 1 });
  }
}

/** Best effort: the file shows afterwards whether it worked. */
function enable(directory: string, controller: string): void {
  try {
    writeControl(`${directory}/cgroup.subtree_control`, `+${controller}`);
  } catch (thrown) {
    if (!REFUSALS.includes(errnoOf(thrown))) throw thrown;
  }
}
