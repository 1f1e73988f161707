/**
 * One interface over cgroup v1/hybrid and v2. A sandbox has one Cgroup for its whole life: it is throttled
 * in place and never moved, so it can never slip out of its memory limit.
 */

export type Controller = 'cpu' | 'cpuset' | 'memory' | 'pids' | 'freezer';

export interface CgroupLimits {
  memoryMaxBytes?: number;
  pidsMax?: number;
  /** Cores that the members may use. */
  cpus?: readonly number[];
}

export interface CgroupUsage {
  /** CPU time used by all members so far, nanoseconds. */
  cpuNs: number;
  memoryBytes: number;
  /** Threads and processes, dead ones that nobody has reaped yet included. */
  pids: number;
}

/** One group of processes. All calls are synchronous: each is one or a few writes of tens of microseconds. */
export interface Cgroup {
  readonly name: string;
  /**
   * Files into which a starting process writes "0" to join (one a hierarchy on v1, one on v2). It writes them
   * itself before it execs, so that none of its children can be born outside.
   */
  readonly joinPaths: readonly string[];
  /** What a control thread needs to read and throttle this group without the driver object. */
  readonly handle: CgroupHandle;
  /**
   * Takes in one thread of a process whose other threads stay where they are. It is then scheduled, throttled,
   * frozen and accounted with this group; its memory stays with its process's group.
   */
  adoptThread(tid: number): void;
  /** Nothing holds the members back any more, so that they can end by themselves: no quota, not frozen, any core. */
  release(): void;
  setMemoryMax(bytes: number): void;
  setPidsMax(count: number): void;
  /** `low`: next to members of `normal` groups, this one's get next to nothing; alone, everything. */
  setWeight(weight: 'normal' | 'low'): void;
  setCpus(cpus: readonly number[]): void;
  /** Throws SYSCALL (ENOENT or ENODEV) once the group is removed. */
  usage(): CgroupUsage;
  /** How many times the kernel killed a member for memory. */
  oomKills(): number;
  /** SIGKILL to every member, also frozen ones, until none is left. */
  kill(): Promise<void>;
  /** kill, then remove the directories. Idempotent. */
  remove(): Promise<void>;
}

/**
 * The part of a group that crosses threads: plain paths and values, structured-clonable.
 * `throttle.ts` applies quota and freeze from it.
 */
export interface CgroupHandle {
  name: string;
  version: 'v1' | 'v2';
  /** File with the CPU time used: v1 `cpuacct.usage` (ns), v2 `cpu.stat` (line usage_usec). */
  cpuUsagePath: string;
  /** File with that part of it that was spent in the kernel: v1 `cpuacct.usage_sys` (ns), v2 `cpu.stat` again. */
  kernelTimePath: string;
  /** `memory.stat`; undefined without the controller. */
  memoryStatPath: string | undefined;
  /** v1 `cpu.cfs_quota_us` (-1 = none) or v2 `cpu.max`. Undefined where it cannot be enforced. */
  quotaPath: string | undefined;
  /** v1 only: `cpu.cfs_period_us`. */
  periodPath?: string;
  quotaPeriodUs: number;
  /** v1 `freezer.state` (FROZEN/THAWED) or v2 `cgroup.freeze` (1/0). */
  freezePath: string | undefined;
}

export interface CgroupDriver {
  readonly layout: 'v1' | 'hybrid' | 'v2';
  /** Controllers that this host lacks: what cannot be enforced. Said loudly by whoever builds the driver. */
  readonly missing: readonly Controller[];
  /** Directories of the root group, one a hierarchy: what is left to remove if the agent dies. */
  readonly rootPaths: readonly string[];
  /** Directories of its name in hierarchies that it does not use, if they are there: runc makes groups in all of them. */
  readonly otherPaths: readonly string[];
  /** True if the root group could be marked `cpu.idle`. */
  readonly idleGroup: boolean;
  /** Most that a group whose members are sandboxes of several functions shall have as its limit. */
  readonly sharedMemoryMaxBytes: number;
  /**
   * Bounds the memory of all groups together from now on, and makes them the first from which the kernel takes pages back,
   * where it can. False where it cannot bound them.
   */
  limitMemory(totalBytes: number, sharedMaxBytes: number): boolean;
  /**
   * Makes the group `<root>/<name>`; with `threadsOf`, one that adopts threads of that group's processes (on v2 such
   * a group lies within the other). Throws NemoError SYSCALL naming the file that refused.
   */
  create(name: string, limits: CgroupLimits, threadsOf?: Cgroup): Cgroup;
  /** Names of the groups under this driver's root, for sweeping what a dead agent left. */
  list(): string[];
  /** Kills and removes everything below the root, then the root. Idempotent. */
  removeAll(): Promise<void>;
}

export interface CgroupDriverOptions {
  /** Name of the root group of this agent, for example `nemo` or `nemo-test-1234`. Letters, digits, `-`, `_`. */
  rootName: string;
  /** Mark the root `cpu.idle=1`: every function yields to every NF, whatever their own scheduling. */
  idle: boolean;
  /** A cap on all groups together, in cores. Default: none. */
  capCores?: number | null;
  /** Files into which a member also writes itself, beside those of its cgroups: the tasks of a resctrl group. */
  alsoJoin?: readonly string[];
  /** Where cgroups are mounted; tests may point elsewhere. Default `/sys/fs/cgroup`. */
  mountPoint?: string;
}
