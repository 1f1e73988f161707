/**
 * Directories whose content root runs or believes: the agent's state. Whoever could write there, or put another directory in
 * its place, would be root. So a directory and all above it must be root's (the user of this process), closed to other
 * writers, and no link; what lies in it already must be of the same kind before anything is read from it. Looked at through
 * one descriptor: what was checked is what is changed.
 */

import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  type Stats,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { NemoError } from '../model/errors.js';

const GROUP_OR_OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

export interface OwnedDirectory {
  /** What it is for, in messages: "stateDir". */
  what: string;
  path: string;
  /** From birth; a directory of one's own that is laxer is brought to it. */
  mode: number;
  /** Directories in it whose content is checked too; everything directly in it is. */
  within?: readonly string[];
  /** What is made in it is for as long as the agent runs: directories that are empty at the end go, too. */
  transient?: boolean;
}

/**
 * Makes it, or takes over one that is safe. Throws BAD_CONFIG with the way out. Call what it returns at the end: what was made
 * for it goes, if nothing is in it.
 */
export function takeDirectory(directory: OwnedDirectory): () => void {
  const { what, path, mode } = directory;
  checkAbove(what, path);
  let made: string | undefined;
  try {
    made = makeAll(path, mode);
  } catch (cause) {
    throw new NemoError('BAD_CONFIG', `${what} ${path} cannot be made: ${(cause as Error).message}`, {
      hint: `it has to be on a file system that can be written: choose another one with ${what} in the configuration`,
      cause,
    });
  }
  const giveBack = () => {
    if (made !== undefined) removeEmpty(path, made);
  };
  try {
    takeOver(directory);
  } catch (thrown) {
    giveBack();
    throw thrown;
  }
  return () => {
    if (directory.transient === true) removeEmptyBelow(path);
    giveBack();
  };
}

/** Returns the topmost that it made. One by one: node's own recursive way never ends below /proc, where mkdir says ENOENT. */
function makeAll(path: string, mode: number): string | undefined {
  const missing: string[] = [];
  for (let at = path; !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const at of missing) {
    try {
      mkdirSync(at, { mode });
    } catch (thrown) {
      // Whatever else came in between is looked at next.
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
    }
  }
  return missing[0];
}

/** From `path` up to `last`, as long as they are empty. */
function removeEmpty(path: string, last: string): void {
  try {
    for (let at = path; at.startsWith(last); at = dirname(at)) rmdirSync(at);
  } catch {
    // Something is in it, that is wanted; or it is gone.
  }
}

function removeEmptyBelow(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    removeEmptyBelow(join(path, entry.name));
    removeEmpty(join(path, entry.name), join(path, entry.name));
  }
}

function takeOver({ what, path, mode, within = [] }: OwnedDirectory): void {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (cause) {
    throw refusal(what, path, 'it is not a directory, or a symbolic link to one', cause);
  }
  try {
    const why = unsafe(fstatSync(fd));
    if (why !== undefined) throw refusal(what, path, why);
    // By the descriptor, so that the entries are those of what was looked at.
    const here = `/proc/self/fd/${fd}`;
    for (const directory of ['', ...within]) checkEntries(what, path, here, directory);
    fchmodSync(fd, mode);
  } finally {
    closeSync(fd);
  }
}

/** Others may write above it only where they cannot rename what is not theirs, as in /tmp. */
function checkAbove(what: string, path: string): void {
  for (let at = dirname(path); ; at = dirname(at)) {
    const stats = lstatSync(at, { throwIfNoEntry: false });
    if (stats?.isSymbolicLink() === false) {
      const why =
        stats.uid !== 0 ? foreign(stats) : (stats.mode & STICKY) !== 0 ? undefined : writable(stats);
      if (why !== undefined) throw refusal(what, path, `${at} above it is not safe: ${why}`);
    } else if (stats !== undefined && stats.uid !== 0) {
      throw refusal(what, path, `${at} above it is a symbolic link of user ${stats.uid}`);
    }
    if (at === dirname(at)) return;
  }
}

function checkEntries(what: string, path: string, here: string, directory: string): void {
  const top = join(here, directory);
  if (directory !== '' && lstatSync(top, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  for (const name of readdirSync(top)) {
    const stats = lstatSync(join(top, name), { throwIfNoEntry: false });
    const why =
      stats === undefined ? undefined : stats.isSymbolicLink() ? 'it is a symbolic link' : unsafe(stats);
    if (why !== undefined) throw refusal(what, join(path, directory, name), why);
  }
}

function unsafe(stats: Stats): string | undefined {
  return foreign(stats) ?? writable(stats);
}

function foreign({ uid }: Stats): string | undefined {
  return uid === process.getuid?.() ? undefined : `it belongs to user ${uid}`;
}

function writable({ mode }: Stats): string | undefined {
  if ((mode & GROUP_OR_OTHERS_WRITE) === 0) return undefined;
  return `other users may write there (mode ${(mode & 0o7777).toString(8)})`;
}

function refusal(what: string, path: string, why: string, cause?: unknown): NemoError {
  return new NemoError('BAD_CONFIG', `${what}: ${path} is not used: ${why}`, {
    hint:
      'what root reads there others may have written: look at what it holds, then chown root and chmod go-w it, ' +
      'or choose another directory in the configuration',
    details: { path },
    ...(cause === undefined ? {} : { cause }),
  });
}
