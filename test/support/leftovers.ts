/** What a program that failed, or ended, may leave behind on its host: looked at before and after. */

import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { AGENTS_FOLDER } from '../../src/guard/agent-lock.js';
import { listPids, processArgs } from '../../src/linux/process.js';
import { getAffinity } from '../../src/linux/sched.js';

const CGROUPS = '/sys/fs/cgroup';

/** Groups of that name, in every hierarchy. */
export function groupsNamed(name: string): string[] {
  return ['', ...readdirSync(CGROUPS)]
    .map((hierarchy) => join(CGROUPS, hierarchy, name))
    .filter((path) => existsSync(path));
}

/** Locks of an agent of that name. */
export function locksOf(name: string): string[] {
  if (!existsSync(AGENTS_FOLDER)) return [];
  return readdirSync(AGENTS_FOLDER).filter(
    (file) => file.startsWith(`${name}.`) || file.startsWith(`${name}-`),
  );
}

/** Mounts, and processes that name it in their arguments, in or of a folder. */
export function usersOf(folder: string): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder));
  const processes = listPids()
    .filter((pid) => pid !== process.pid && processArgs(pid).some((arg) => arg.includes(folder)))
    .map((pid) => processArgs(pid).join(' ').slice(0, 200));
  return [...mounts, ...processes];
}

/** Of this process: what its open descriptors are, which listen, where it may run, what it lets others do. */
export function ownState() {
  const descriptors = readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    })
    .filter((link) => link.startsWith('/') && !link.startsWith('/proc/'))
    .sort();
  return { descriptors, affinity: getAffinity(process.pid), umask: process.umask() };
}
