/**
 * Core scheduling (prctl(2) PR_SCHED_CORE; Documentation/admin-guide/hw-vuln/core-scheduling.rst of the kernel): processes
 * with different cookies never run on SMT siblings at the same time. A cookie is inherited by what a process makes later.
 */

import koffi from 'koffi';
import { errno, errnoName, prctl } from './libc.js';

const PR_SCHED_CORE = 62;
const GET = 0;
const CREATE = 1;
const THREAD = 0;
const THREAD_GROUP = 1;

/** `no-smt`: there are no siblings to keep apart. `unsupported`: the kernel cannot, or refuses. */
export type CoreScheduling = 'on' | 'no-smt' | 'unsupported';

/** The two calls that are needed; each returns an errno name, or '' for success. */
export interface CookieCalls {
  /** 0n: none. */
  cookieOf(pid: number): { cookie: bigint; errno: string };
  /** A new cookie for all threads of the process. */
  giveCookie(pid: number): string;
}

export const kernelCookies: CookieCalls = {
  cookieOf(pid) {
    const value = koffi.alloc('uint64_t', 1);
    const failed = prctl(PR_SCHED_CORE, GET, pid, THREAD, Number(koffi.address(value))) < 0;
    return failed
      ? { cookie: 0n, errno: errnoName(errno()) }
      : { cookie: BigInt(koffi.decode(value, 'uint64_t') as number | bigint), errno: '' };
  },
  giveCookie(pid) {
    return prctl(PR_SCHED_CORE, CREATE, pid, THREAD_GROUP, 0) < 0 ? errnoName(errno()) : '';
  },
};

/** Asks about this very thread, and changes nothing. */
export function coreScheduling(smt: boolean, calls: CookieCalls = kernelCookies): CoreScheduling {
  if (!smt) return 'no-smt';
  const { errno: refused } = calls.cookieOf(0);
  return refused === '' ? 'on' : refused === 'ENODEV' ? 'no-smt' : 'unsupported';
}

/**
 * Gives every process of a sandbox a cookie, unless it has one. False if one that is still there has none: then the
 * sandbox may run beside others on one physical core.
 */
export function setApart(pids: Iterable<number>, calls: CookieCalls = kernelCookies): boolean {
  let all = true;
  for (const pid of pids) {
    const { cookie, errno: refused } = calls.cookieOf(pid);
    if (refused === 'ESRCH' || cookie !== 0n) continue;
    const failed = refused === '' ? calls.giveCookie(pid) : refused;
    if (failed !== '' && failed !== 'ESRCH') all = false;
  }
  return all;
}
