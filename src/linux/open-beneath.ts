/**
 * Files and directories below a directory of the operator's, on a caller's word. No link is followed at any step, nothing
 * but regular files is opened for reading, and what was looked at is what is read: one descriptor throughout. A pipe would
 * hold a thread for ever, a device do what it does when it is opened.
 */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';

/** Of Linux; node does not name it. */
const O_PATH = 0o10000000;
const LOOK = O_PATH | constants.O_NOFOLLOW;
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** `directory`: to open further from; it reads nothing. */
export type Opened = { kind: 'file'; fd: number; size: number } | { kind: 'directory'; fd: number };

/** Undefined for whatever is not there, not a regular file or directory, or not to be reached without a link. */
export function openBeneath(directory: number | string, path: string): Opened | undefined {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || path.includes('\0')) return undefined;
  let at = -1;
  try {
    at = openSync(typeof directory === 'number' ? byDescriptor(directory) : directory, O_PATH);
    for (const part of parts) {
      const next = openSync(`${byDescriptor(at)}/${part}`, LOOK);
      closeSync(at);
      at = next;
    }
    const found = fstatSync(at);
    if (found.isDirectory()) {
      const fd = at;
      at = -1;
      return { kind: 'directory', fd };
    }
    if (!found.isFile()) return undefined;
    return { kind: 'file', fd: openSync(byDescriptor(at), READ), size: found.size };
  } catch {
    return undefined;
  } finally {
    if (at >= 0) closeSync(at);
  }
}

/** The very thing that it stands for, whatever its path leads to now. */
function byDescriptor(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
