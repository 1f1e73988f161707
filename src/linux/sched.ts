/**
 * Scheduling of one thread: policy, priority, nice value, affinity. All of it is per thread in Linux: a `tid`
 * of 0 is the calling thread, and a process's pid is its main thread only.
 */

import {
  check,
  getpriority,
  schedGetaffinity,
  schedGetparam,
  schedGetscheduler,
  schedSetaffinity,
  schedSetscheduler,
  setpriority,
} from './libc.js';
import { listThreads } from './process.js';

export type SchedulingPolicy = 'other' | 'fifo' | 'rr' | 'batch' | 'idle' | 'deadline';

export interface Scheduling {
  policy: SchedulingPolicy;
  /** 1..99 for `fifo` and `rr`, else 0. */
  priority: number;
  /** -20..19; has an effect under `other` and `batch` only, but is kept under the others. */
  nice: number;
  /** Threads and processes that this thread creates start at `other`, nice 0 at least, instead of inheriting. */
  resetOnFork: boolean;
}

export interface NewScheduling {
  /** `deadline` cannot be set here: it needs a runtime and a period. */
  policy: Exclude<SchedulingPolicy, 'deadline'>;
  priority?: number;
  /** Left as it is if not given. */
  nice?: number;
  resetOnFork?: boolean;
}

/** linux/sched.h */
export const POLICY_NUMBERS = { other: 0, fifo: 1, rr: 2, batch: 3, idle: 5, deadline: 6 } as const;
const POLICY_NAMES = new Map<number, SchedulingPolicy>(
  Object.entries(POLICY_NUMBERS).map(([name, number]) => [number, name as SchedulingPolicy]),
);
const RESET_ON_FORK = 0x40000000;
const PRIO_PROCESS = 0;
/** Room for 8192 CPUs, the most that a kernel is built for; a smaller mask than the kernel's own is refused. */
const MASK_BYTES = 1024;

/** Throws SYSCALL with ESRCH if there is no such thread. */
export function getScheduling(tid: number): Scheduling {
  const raw = check(schedGetscheduler(tid), 'sched_getscheduler', `thread ${tid}`);
  const param = new Int32Array(1);
  check(schedGetparam(tid, param), 'sched_getparam', `thread ${tid}`);
  const nice = getpriority(PRIO_PROCESS, tid);
  // -1 is both a nice value and an error; the only possible error here is a thread that has just ended.
  if (nice === -1) check(schedGetscheduler(tid), 'getpriority', `thread ${tid}`);
  return {
    policy: POLICY_NAMES.get(raw & ~RESET_ON_FORK) ?? 'other',
    priority: param[0]!,
    nice,
    resetOnFork: (raw & RESET_ON_FORK) !== 0,
  };
}

/**
 * Throws SYSCALL: EPERM without the right, and also for `fifo`/`rr` in a cgroup (v1, RT group scheduling) that
 * was given no `cpu.rt_runtime_us`; EINVAL for a priority that the policy does not have.
 */
export function setScheduling(tid: number, wanted: NewScheduling): void {
  const flags = wanted.resetOnFork ? RESET_ON_FORK : 0;
  const param = Int32Array.of(wanted.priority ?? 0);
  check(
    schedSetscheduler(tid, POLICY_NUMBERS[wanted.policy] | flags, param),
    'sched_setscheduler',
    `thread ${tid} (${wanted.policy} ${param[0]})`,
  );
  if (wanted.nice !== undefined)
    check(setpriority(PRIO_PROCESS, tid, wanted.nice), 'setpriority', `thread ${tid} (nice ${wanted.nice})`);
}

/** Cores on which the thread may run, ascending. */
export function getAffinity(tid: number): number[] {
  const mask = new Uint8Array(MASK_BYTES);
  check(schedGetaffinity(tid, MASK_BYTES, mask), 'sched_getaffinity', `thread ${tid}`);
  const cpus: number[] = [];
  mask.forEach((byte, index) => {
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) cpus.push(index * 8 + bit);
  });
  return cpus;
}

/** Binds every thread that a process has now; those it makes later inherit it from their maker. */
export function setProcessAffinity(pid: number, cpus: readonly number[]): void {
  for (const { tid } of listThreads(pid)) setAffinity(tid, cpus);
}

/** Throws SYSCALL with EINVAL if none of `cpus` is online and allowed by the thread's cpuset. */
export function setAffinity(tid: number, cpus: readonly number[]): void {
  const mask = new Uint8Array(MASK_BYTES);
  for (const cpu of cpus) mask[cpu >> 3] = mask[cpu >> 3]! | (1 << (cpu & 7));
  check(
    schedSetaffinity(tid, MASK_BYTES, mask),
    'sched_setaffinity',
    `thread ${tid} (cores ${cpus.join(',')})`,
  );
}
