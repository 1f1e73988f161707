/**
 * Locks that end with their processes, on files in a folder that only root can enter: a name in the kernel's abstract
 * namespace could be taken by anybody, a file below /tmp too. flock(2) belongs to the open file: a child that inherits the
 * descriptor holds the lock as well, and it is free when the last of them is gone.
 */

import { closeSync, constants, fstatSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs';
import { NemoError } from '../model/errors.js';
import { LOCK } from '../tunables/index.js';
import { flock } from './libc.js';
import { folderWritableByOthers, writableByOthers } from './root-only.js';

const LOCK_EX = 2;
const LOCK_NB = 4;

export interface FileLock {
  readonly fd: number;
  /** Removes the file, too. */
  release(): void;
}

/** Makes the folder where it is missing. Throws UNSUPPORTED where others than root could put something there. */
export function rootOnlyFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const why = folderWritableByOthers(`${path}/x`) ?? writableByOthers(statSync(path), path);
  if (why === undefined) return path;
  throw new NemoError('UNSUPPORTED', `locks cannot be kept in ${path}: ${why}`, {
    hint: `remove it: it is made again, for root alone`,
  });
}

/** Undefined: another process, or another part of this one, holds it. Within `oneAtATime` only, as `isLocked`. */
export function takeLock(path: string): FileLock | undefined {
  const { O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
  const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    closeSync(fd);
    return undefined;
  }
  return {
    fd,
    release: () => {
      if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) rmSync(path, { force: true });
      closeSync(fd);
    },
  };
}

export function isLocked(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch {
    return false;
  }
  const taken = flock(fd, LOCK_EX | LOCK_NB) < 0;
  closeSync(fd);
  return taken;
}

/** Runs `action` while no other process does so in this folder. It must not take long, nor return a promise. */
export function oneAtATime<T>(folder: string, action: () => T): T {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (let waitedMs = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waitedMs += LOCK.pollMs) {
      if (waitedMs > LOCK.waitMaxMs)
        throw new NemoError('INTERNAL', `another agent has held ${folder} for ${LOCK.waitMaxMs} ms`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK.pollMs);
    }
    return action();
  } finally {
    closeSync(fd);
  }
}
