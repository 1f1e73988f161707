/**
 * Who a process is, from what the kernel says of it and the process cannot change: its users, namespaces, cgroups, the file
 * that it executes, and who forked it. All of it holds for one process: if the pid got another meanwhile, there is no answer.
 */

import { lstatSync, readlinkSync, statSync } from 'node:fs';
import { textIfThere } from './if-there.js';
import { processStat } from './process.js';
import { folderWritableByOthers, writableByOthers } from './root-only.js';

export interface Executable {
  /** The file itself: device and inode. */
  id: string;
  /** Why users other than root can write it, as a message; undefined: they cannot. */
  writable: string | undefined;
}

export interface ProcessFacts {
  /** Real, effective, saved and file system user. */
  uids: readonly number[];
  /** It runs in a cgroup of an agent of this box. */
  ofAgent: boolean;
  /** Compared with that of this process; `unknown`: we may not look, or it is a function. */
  userNamespace: 'ours' | 'other' | 'unknown';
  /** Undefined for kernel threads, functions, and where we may not look. */
  executable: Executable | undefined;
  /** Its parent, if that forked it and it has executed nothing since. */
  master: ProcessFacts | undefined;
}

/** Of the process that started then; undefined if it is gone. `agents`: names of cgroup roots. */
export function readProcessFacts(
  pid: number,
  startTicks: number,
  agents: ReadonlySet<string>,
): ProcessFacts | undefined {
  const stat = processStat(pid);
  if (stat?.startTicks !== startTicks) return undefined;
  const facts = read(pid, agents);
  if (facts === undefined) return undefined;
  const master = stat.onlyForked && !facts.ofAgent ? read(stat.parentPid, agents) : undefined;
  const after = processStat(pid);
  // The parent's pid can only have been reused if it has ended, and then another is the parent now.
  if (after?.startTicks !== startTicks || after.parentPid !== stat.parentPid) return undefined;
  return { ...facts, master };
}

function read(pid: number, agents: ReadonlySet<string>): ProcessFacts | undefined {
  const uids = usersOf(pid);
  if (uids === undefined) return undefined;
  const ofAgent = groupsOf(pid).some((name) => agents.has(name));
  // A function is one whatever else it is, and there may be very many of its processes.
  if (ofAgent) return { uids, ofAgent, userNamespace: 'unknown', executable: undefined, master: undefined };
  return {
    ...{ uids, ofAgent, userNamespace: userNamespaceOf(pid) },
    ...{ executable: executableOf(pid), master: undefined },
  };
}

function usersOf(pid: number): number[] | undefined {
  const line = /^Uid:\s*(.*)$/m.exec(textIfThere(`/proc/${pid}/status`))?.[1];
  return line?.split(/\s+/).map(Number);
}

/** The names on the paths of its cgroups, in all hierarchies. */
function groupsOf(pid: number): string[] {
  return textIfThere(`/proc/${pid}/cgroup`)
    .split('\n')
    .flatMap((line) => line.split(':').slice(2).join(':').split('/'));
}

function userNamespaceOf(pid: number): ProcessFacts['userNamespace'] {
  const theirs = linkOf(`/proc/${pid}/ns/user`);
  if (theirs === undefined) return 'unknown';
  return theirs === linkOf('/proc/self/ns/user') ? 'ours' : 'other';
}

function executableOf(pid: number): Executable | undefined {
  const link = linkOf(`/proc/${pid}/exe`);
  if (link === undefined) return undefined;
  try {
    const file = statSync(`/proc/${pid}/exe`);
    const id = `${file.dev}:${file.ino}`;
    const path = link.replace(/ \(deleted\)$/, '');
    const base = linkOf(`/proc/${pid}/ns/mnt`) === linkOf('/proc/self/ns/mnt') ? '' : `/proc/${pid}/root`;
    const writable = writableByOthers(file, path) ?? folderWritableByOthers(path, base);
    if (writable !== undefined || path !== link) return { id, writable };
    // Mounted over, or seen from a root of its own: what was looked at are not the folders of this file.
    const there = lstatSync(base + path);
    const isIt = there.dev === file.dev && there.ino === file.ino;
    return { id, writable: isIt ? undefined : `another file stands at ${JSON.stringify(path)}` };
  } catch {
    return undefined;
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
