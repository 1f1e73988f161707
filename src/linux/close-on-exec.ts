/**
 * Marks open files so that no program that this process starts gets them. Libraries open files without that mark (LMDB
 * its data file), and whoever started this process may have left files and pipes open in it.
 */

import { readdirSync } from 'node:fs';
import { check, closeRange, errno, errnoName, fcntl } from './libc.js';

const FIRST = 3;
const LAST = 0xffffffff;
const CLOSE_RANGE_CLOEXEC = 4;
const F_GETFD = 1;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** Every descriptor above stderr, of all threads. Those that a child is to have are named in its `stdio`. */
export function closeOnExec(): void {
  if (closeRange(FIRST, LAST, CLOSE_RANGE_CLOEXEC) === 0) return;
  // Linux before 5.11 lacks the flag, before 5.9 the call.
  if (['ENOSYS', 'EINVAL', 'EPERM'].includes(errnoName(errno()))) closeEachOnExec();
  else check(-1, 'close_range', 'the open files of this process');
}

/** The same, one call for each open descriptor. */
export function closeEachOnExec(): void {
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    if (fd < FIRST) continue;
    const flags = fcntl(fd, F_GETFD, 0);
    // The one by which the folder was read is closed again.
    if (flags >= 0) check(fcntl(fd, F_SETFD, flags | FD_CLOEXEC), 'fcntl', `descriptor ${fd}`);
  }
}
