/**
 * What a program reads and prints. What node makes for `pipe` is a socket, which cannot be opened by its name: scripts that
 * open /dev/stdin or /dev/stdout would fail. So the body is a file, and for the output there is a FIFO, which is what a
 * runner without system calls of its own can make; each serves one call after the other.
 */

import type { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';

const FOLDER = '/tmp';
const free: string[] = [];
let made = 0;

export interface OutputPipe {
  reader: Socket;
  /** For the program; it is to be closed here when the program has it. */
  writer: number;
  /** `clean`: nobody has it open any more. */
  done(clean: boolean): void;
}

/** Undefined where no FIFO can be made. */
export function openOutput(): OutputPipe | undefined {
  // The folder is the program's, too: what was free may have been removed since.
  for (let path = free.pop(); path !== undefined; path = free.pop()) {
    const pipe = open(path);
    if (pipe !== undefined) return pipe;
  }
  const path = make();
  return path === undefined ? undefined : open(path);
}

/** Undefined if no FIFO is there. */
function open(path: string): OutputPipe | undefined {
  let fd: number | undefined;
  let writer: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!fstatSync(fd).isFIFO()) throw new Error('something else is in its place');
    writer = openSync(path, constants.O_WRONLY);
  } catch {
    closeFile(fd);
    return undefined;
  }
  return {
    reader: new Socket({ fd, readable: true, writable: false }),
    writer,
    done(clean) {
      if (clean) free.push(path);
      else rmSync(path, { force: true, recursive: true });
    },
  };
}

export function closeFile(fd: number | undefined): void {
  if (fd !== undefined) closeSync(fd);
}

/** A descriptor to read the body from; undefined where it cannot be kept. */
export function openInput(body: Buffer): number | undefined {
  const path = `${FOLDER}/.input-${++made}`;
  try {
    writeFileSync(path, body, { mode: 0o600 });
    return openSync(path, constants.O_RDONLY);
  } catch {
    return undefined;
  } finally {
    rmSync(path, { force: true });
  }
}

function make(): string | undefined {
  const path = `${FOLDER}/.output-${++made}`;
  try {
    execFileSync('mkfifo', ['-m', '600', path], { stdio: 'ignore' });
    return path;
  } catch {
    return undefined;
  }
}
