/**
 * Writing and reading control files. cgroupfs wants one write(2) per value and no O_CREAT: opening a file that the
 * kernel lacks must say ENOENT, not EACCES. Every failure is SYSCALL with the file and the errno name.
 */

import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { NemoError } from '../../model/errors.js';
import { formatCpuList, parseCpuList } from '../process.js';

/** The errno name of a failed file operation, also when it is already a NemoError; empty for anything else. */
export function errnoOf(thrown: unknown): string {
  if (thrown instanceof NemoError) return String(thrown.details?.errno ?? '');
  return (thrown as NodeJS.ErrnoException | undefined)?.code ?? '';
}

const HINTS: Record<string, string> = {
  EACCES: 'NEMO manages cgroups as root, on a cgroup mount that is writable.',
  EPERM: 'NEMO manages cgroups as root, on a cgroup mount that is writable.',
  EROFS: 'The cgroup mount is read-only: remount it read-write, or run the container with writable cgroups.',
  EEXIST: 'A group of that name is there already, perhaps left by an agent that was killed: remove it first.',
  ENOSPC: 'The kernel has no room for another cgroup: see cgroup.max.descendants, or an empty cpuset.',
};

function refuse(call: string, path: string, thrown: unknown, value?: string): never {
  const errno = errnoOf(thrown) || 'unknown error';
  const hint = HINTS[errno];
  const what = value === undefined ? '' : ` of "${value}"`;
  throw new NemoError('SYSCALL', `${call}${what} failed on ${path}: ${errno}`, {
    details: { syscall: call, errno, object: path },
    cause: thrown,
    ...(hint === undefined ? {} : { hint }),
  });
}

export function writeControl(path: string, value: string | number): void {
  const text = String(value);
  let fd = -1;
  try {
    fd = openSync(path, constants.O_WRONLY);
    writeSync(fd, text);
  } catch (thrown) {
    refuse('write', path, thrown, text);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

export function readControl(path: string): string {
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch (thrown) {
    refuse('read', path, thrown);
  }
}

/** Writes where the kernel has the file and accepts the value; false where it does not. */
export function tryWrite(path: string, value: string | number): boolean {
  if (!existsSync(path)) return false;
  try {
    writeControl(path, value);
    return true;
  } catch {
    return false;
  }
}

/** `name value` lines, as in cpu.stat, memory.oom_control and memory.events; 0 for a name that is not there. */
export function readKeyed(path: string, key: string): number {
  for (const line of readControl(path).split('\n')) {
    if (line.startsWith(`${key} `)) return Number(line.slice(key.length + 1));
  }
  return 0;
}

export function makeGroup(path: string): void {
  try {
    mkdirSync(path);
  } catch (thrown) {
    refuse('mkdir', path, thrown);
  }
}

/** Names of the groups directly below; empty if the group itself is not there. */
export function childGroups(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return [];
    refuse('readdir', path, thrown);
  }
}

/** Removes a group and all below it, leaves first. False while the kernel says that one is busy. */
export function removeTree(path: string): boolean {
  for (const child of childGroups(path)) if (!removeTree(`${path}/${child}`)) return false;
  try {
    rmdirSync(path);
    return true;
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'ENOENT') return true;
    if (errno === 'EBUSY' || errno === 'ENOTEMPTY') return false;
    refuse('rmdir', path, thrown);
  }
}

/** Process ids in a group, named by the files through which one joins it, and in all below it. As `membersOf`. */
export function processesOf({ joinPaths }: { readonly joinPaths: readonly string[] }): Set<number> {
  return membersOf(dirname(joinPaths[0]!));
}

/** Process ids in a group and all below it. Processes outside our pid namespace (0) and we ourselves are left out. */
export function membersOf(path: string, into = new Set<number>()): Set<number> {
  let text: string;
  try {
    text = readFileSync(`${path}/cgroup.procs`, 'utf8');
  } catch (thrown) {
    const errno = errnoOf(thrown);
    // A v2 group of threads: its processes are members of the group above.
    if (errno === 'ENOENT' || errno === 'ENODEV' || errno === 'ENOTSUP') return into;
    refuse('read', `${path}/cgroup.procs`, thrown);
  }
  for (const line of text.split('\n')) {
    const pid = Number(line);
    if (pid > 0 && pid !== process.pid) into.add(pid);
  }
  for (const child of childGroups(path)) membersOf(`${path}/${child}`, into);
  return into;
}

/** Lets a group use the cores of the group above it that it does not use now; all of them if there is no other. */
export function useOtherCores(directory: string, parentFile: string): void {
  try {
    const above = parseCpuList(readControl(parentFile));
    const own = parseCpuList(readControl(`${directory}/cpuset.cpus`));
    const others = above.filter((core) => !own.includes(core));
    if (others.length > 0) writeControl(`${directory}/cpuset.cpus`, formatCpuList(others));
  } catch {
    // Best effort: the group may be gone.
  }
}
