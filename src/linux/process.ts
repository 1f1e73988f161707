/**
 * Facts about processes from procfs, for discovery: slow path, allocates. A process may end between two reads, so
 * every function answers `undefined` or an empty list for one that is gone, and never throws for that reason.
 */

import { closeSync, openSync, readlinkSync, readSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { namesIfThere, readIfThere } from './if-there.js';

export interface ThreadInfo {
  tid: number;
  /** The thread's comm, at most 15 characters. */
  name: string;
  /** Cores on which the scheduler may put it, ascending. */
  cpus: number[];
}

/** "0-2,5" -> [0, 1, 2, 5]. Blank text is the empty list; anything unreadable is skipped. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of text.trim().split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (match === null) continue;
    const first = Number(match[1]);
    for (let cpu = first; cpu <= Number(match[2] ?? first); cpu++) cpus.push(cpu);
  }
  return cpus;
}

/** [0, 1, 2, 5] -> "0-2,5". Order and repetition do not matter. */
export function formatCpuList(cpus: readonly number[]): string {
  const sorted = [...new Set(cpus)].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let last = i;
    while (sorted[last + 1] === sorted[last]! + 1) last++;
    parts.push(last === i ? `${sorted[i]}` : `${sorted[i]}-${sorted[last]}`);
    i = last + 1;
  }
  return parts.join(',');
}

export function listPids(): number[] {
  return numericEntries('/proc');
}

export function listThreads(pid: number): ThreadInfo[] {
  const threads: ThreadInfo[] = [];
  for (const tid of numericEntries(`/proc/${pid}/task`)) {
    const status = readIfThere(`/proc/${pid}/task/${tid}/status`, 'utf8');
    const name = readIfThere(`/proc/${pid}/task/${tid}/comm`, 'utf8');
    if (status === undefined || name === undefined) continue;
    const cpus = parseCpuList(/^Cpus_allowed_list:\s*(.*)$/m.exec(status)?.[1] ?? '');
    threads.push({ tid, name: name.trimEnd(), cpus });
  }
  return threads;
}

export interface ProcessStat {
  /** The process's comm, at most 15 characters. */
  name: string;
  parentPid: number;
  /** Of processes: a job of a shell, a service and what it forked. */
  processGroup: number;
  /** When it started, in ticks since boot: tells a reused pid from the old process. */
  startTicks: number;
  /** It has ended, and only its parent has not asked for its exit code yet. */
  ended: boolean;
  /** It was forked and has executed nothing since: it runs what its parent ran. */
  onlyForked: boolean;
}

/** PF_FORKNOEXEC of linux/sched.h. */
const FORKED_ONLY = 0x40;

const statBytes = Buffer.alloc(1024);

/** `id` may be a thread's, or `<pid>/task/<tid>`: name and start are then its own. Cheap enough (7 us) to ask of every process twice a second. */
export function processStat(id: number | string): ProcessStat | undefined {
  const stat = readStart(`/proc/${id}/stat`, statBytes);
  if (stat === undefined) return undefined;
  // comm may hold blanks and parentheses; after the last ")" come state (field 3) and so on.
  const end = stat.lastIndexOf(')');
  const fields = stat.slice(end + 2).split(' ', 22 - 2);
  return {
    name: stat.slice(stat.indexOf('(') + 1, end),
    parentPid: Number(fields[4 - 3]),
    processGroup: Number(fields[5 - 3]),
    startTicks: Number(fields[22 - 3]),
    // A main thread may end before the others: then the process lives on, with more than one thread.
    ended: (fields[3 - 3] === 'Z' || fields[3 - 3] === 'X') && Number(fields[20 - 3]) <= 1,
    onlyForked: (Number(fields[9 - 3]) & FORKED_ONLY) !== 0,
  };
}

/** When the process or thread started, in ticks since boot; with `pid`, only if it is a thread of that process. */
export function startTicks(id: number, pid?: number): number | undefined {
  return processStat(pid === undefined ? id : `${pid}/task/${id}`)?.startTicks;
}

/** Whether the user of this process runs it, too. */
export function isOwnProcess(pid: number): boolean {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid === process.geteuid?.();
}

const argsBytes = Buffer.alloc(16 * 1024);

/**
 * Arguments with the program's name first, in 16 KB: a stranger's may be as long as he likes. Empty for kernel threads,
 * zombies and processes that are gone. It waits for a lock on the memory of that process, which its code may hold for
 * seconds: never to be asked of a process of strangers.
 */
export function processArgs(pid: number): string[] {
  const text = readStart(`/proc/${pid}/cmdline`, argsBytes) ?? '';
  return text === '' ? [] : text.replace(/\0$/, '').split('\0');
}

export function processName(pid: number): string | undefined {
  return readIfThere(`/proc/${pid}/comm`, 'utf8')?.trimEnd();
}

/** Base name of the executable file, also after it was replaced on disk by an upgrade. */
export function exeBaseName(pid: number): string | undefined {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ''));
  } catch {
    return undefined;
  }
}

/** The start of a file, as far as `into` goes. */
function readStart(path: string, into: Buffer): string | undefined {
  try {
    const fd = openSync(path, 'r');
    try {
      return into.toString('latin1', 0, readSync(fd, into, 0, into.length, 0));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

function numericEntries(directory: string): number[] {
  return namesIfThere(directory)
    .map(Number)
    .filter((n) => Number.isInteger(n) && n > 0);
}
