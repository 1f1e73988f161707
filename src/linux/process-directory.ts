/**
 * The directory of a process below /proc, as a descriptor. A pid is only a number: the process may have ended, and another
 * have got it. An opened directory stays that of its process for ever, and leads nowhere once the process is gone.
 */

import { closeSync, constants, openSync } from 'node:fs';
import { processStat } from './process.js';

export interface ProcessId {
  pid: number;
  /** In ticks since boot, as in its `stat`. */
  startTicks: number;
}

/** For whoever called to close. Undefined if that process is gone. */
export function openProcessDirectory({ pid, startTicks }: ProcessId): number | undefined {
  let fd: number;
  try {
    fd = openSync(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return undefined;
  }
  // Of what is open, not of whoever has the number by now.
  if (processStat(byDescriptor(fd))?.startTicks === startTicks) return fd;
  closeSync(fd);
  return undefined;
}

/** Whether the process is still the one. */
export function startedThen({ pid, startTicks }: ProcessId): boolean {
  return processStat(pid)?.startTicks === startTicks;
}

/** In place of the pid in a path below /proc. */
export function byDescriptor(fd: number): string {
  return `self/fd/${fd}`;
}
