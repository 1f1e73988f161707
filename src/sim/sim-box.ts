/**
 * What stands in for the machine below the scheduler of a simulated box: cores that nobody else uses, groups of
 * processes that hold nothing, and the memory that sandboxes take over time.
 */

import type { SandboxSlots } from '../control/sandbox-slots.js';
import type { Cgroup, CgroupDriver } from '../linux/cgroup/driver.js';
import { Board, Core } from '../model/board.js';
import type { BoxPolicy } from '../policy/harvest/policies.js';
import { policyByName } from '../policy/harvest/policies.js';

const GIB_MS = 2 ** 30 * 1000;

/** Calls that find no place on their core run on this one. */
export const FALLBACK_CORE = 0;

/** `cores`: how many function cores; undefined: every call runs at once, as if there were cores enough. */
export function boxOf(cores: number | undefined): { policy: BoxPolicy; functionCores: number[] } {
  const policy = policyByName('nemo');
  if (cores === undefined) {
    return { policy: { ...policy, runningPerCore: Number.POSITIVE_INFINITY }, functionCores: [1] };
  }
  return { policy, functionCores: Array.from({ length: cores }, (_, i) => i + 1) };
}

/** In place of the control thread: its board never changes, and its slots count memory. */
export class SimSlots implements SandboxSlots {
  readonly board: Board;
  memoryGiBs = 0;
  idleMemoryGiBs = 0;
  memoryMaxBytes = 0;
  private taken = 0;
  private readonly idle = new Set<number>();
  private next = 0;
  private accountedMs = 0;

  constructor(
    functionCores: readonly number[],
    runningPerCore: number,
    private readonly sandboxBytes: number,
    private readonly nowMs: () => number,
  ) {
    this.board = Board.create(functionCores.length + 1);
    for (const core of functionCores) {
      this.board.set(core, Core.harvestable, 1);
      this.board.set(core, Core.budgetRunning, runningPerCore);
      this.board.set(core, Core.predictedSpareRatio, 1);
    }
  }

  addSandbox(): number {
    this.account();
    this.taken++;
    this.memoryMaxBytes = Math.max(this.memoryMaxBytes, this.taken * this.sandboxBytes);
    return this.next++;
  }

  moveSandbox(): void {}

  removeSandbox(slot: number): void {
    this.account();
    this.taken--;
    this.idle.delete(slot);
  }

  setBusy(slot: number, busy: boolean): void {
    this.account();
    if (busy) this.idle.delete(slot);
    else this.idle.add(slot);
  }

  relax(): void {}

  /** What was there before the first call does not count. */
  forgetMemory(): void {
    this.account();
    this.memoryGiBs = 0;
    this.idleMemoryGiBs = 0;
  }

  /** Counts what was held until now. */
  account(): void {
    const nowMs = this.nowMs();
    const gone = (nowMs - this.accountedMs) * this.sandboxBytes;
    this.memoryGiBs += (this.taken * gone) / GIB_MS;
    this.idleMemoryGiBs += (this.idle.size * gone) / GIB_MS;
    this.accountedMs = nowMs;
  }
}

const NOWHERE: Cgroup = {
  name: '',
  joinPaths: [],
  handle: {
    ...{ name: '', version: 'v2', cpuUsagePath: '', kernelTimePath: '', memoryStatPath: undefined },
    ...{ quotaPath: undefined, quotaPeriodUs: 0, freezePath: undefined },
  },
  adoptThread() {},
  release() {},
  setMemoryMax() {},
  setPidsMax() {},
  setWeight() {},
  setCpus() {},
  usage: () => ({ cpuNs: 0, memoryBytes: 0, pids: 0 }),
  oomKills: () => 0,
  kill: async () => {},
  remove: async () => {},
};

export const SIM_GROUPS: Pick<CgroupDriver, 'create' | 'sharedMemoryMaxBytes'> = {
  create: () => NOWHERE,
  sharedMemoryMaxBytes: Number.POSITIVE_INFINITY,
};
