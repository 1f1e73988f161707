/**
 * Files that decide what root does: the configuration, profiles. Whoever could write one, put another in its place, or point
 * a link on the way elsewhere, would decide it. So every folder and link on the way, and the file itself, must be root's (or
 * of the user of this process), closed to other writers. What was looked at is what is opened.
 */

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  type Stats,
} from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { type ErrorCode, NemoError } from '../model/errors.js';
import { folderChangeable, writableByOthers } from './root-only.js';

const LINKS_MAX = 40;
/** Whoever writes them by hand writes less. */
const MAX_BYTES = 1024 * 1024;
const OPEN = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

export interface Trusted {
  path: string;
  /** What it is, in messages: "the configuration". */
  what: string;
  /** Of the error for one that others can change. */
  code: ErrorCode;
}

/** Throws `code`, and what the file system says of a file that is not there or cannot be read. */
export function readTrusted(file: Trusted): string {
  const fd = openTrusted(file);
  try {
    const stat = fstatSync(fd);
    // A pipe has nothing yet when it is opened without waiting, and would be taken for an empty file.
    const wrong = !stat.isFile()
      ? 'it is not a file'
      : stat.size > MAX_BYTES
        ? 'it is larger than 1 MiB'
        : undefined;
    if (wrong !== undefined) {
      throw new NemoError(file.code, `${file.what} ${file.path} is not used: ${wrong}`, {
        hint: 'write it to a file of its own',
        details: { path: file.path },
      });
    }
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

/** A file or folder, for whoever called to close. */
export function openTrusted({ path, what, code }: Trusted, user = process.geteuid?.() ?? 0): number {
  const refuseIf = (why: string | undefined): void => {
    if (why === undefined) return;
    throw new NemoError(code, `${what} ${path} is not used: ${why}`, {
      hint:
        'it decides what root does: look at what it holds, then chown root and chmod go-w it and the folders above it, ' +
        'or move it to /etc/nemo',
      details: { path },
    });
  };
  const real = walk(path, user, refuseIf);
  const fd = openSync(real, OPEN);
  try {
    refuseIf(writableByOthers(fstatSync(fd), real, user));
    return fd;
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

/** The path without links. */
function walk(path: string, user: number, refuseIf: (why: string | undefined) => void): string {
  const left = partsOf(isAbsolute(path) ? path : `${process.cwd()}/${path}`);
  let at = '/';
  refuseIf(folderChangeable(lstatSync(at), at, user));
  for (let links = 0; left.length > 0; ) {
    const name = left.shift()!;
    if (name === '..') {
      at = dirname(at);
      continue;
    }
    const next = at === '/' ? `/${name}` : `${at}/${name}`;
    const stat = lstatSync(next);
    if (stat.isSymbolicLink()) {
      refuseIf(linkOfOthers(stat, next, user));
      // As the kernel does.
      if (++links > LINKS_MAX)
        throw Object.assign(new Error(`ELOOP: too many links, ${path}`), { code: 'ELOOP' });
      const target = readlinkSync(next);
      if (isAbsolute(target)) at = '/';
      left.unshift(...partsOf(target));
      continue;
    }
    if (left.length > 0) refuseIf(folderChangeable(stat, next, user));
    at = next;
  }
  return at;
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function linkOfOthers({ uid }: Stats, path: string, user: number): string | undefined {
  return uid === 0 || uid === user ? undefined : `${JSON.stringify(path)} is a link of user ${uid}`;
}
