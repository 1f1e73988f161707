/**
 * A program whose output comes through pipes. What node itself makes for `pipe` are sockets, and a socket cannot be
 * opened by its name: `echo >/dev/stderr`, and servers that log to /dev/stdout, fail on one.
 */

import { closeSync, fchmodSync } from 'node:fs';
import { Socket } from 'node:net';
import { check, fcntl, pipe2 } from './libc.js';
import { type ChildProcess, type SpawnOptions, spawn } from './spawn.js';

const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;
const PIPE_BYTES = 256 * 1024;

export interface PipedOptions extends Omit<SpawnOptions, 'stdio'> {
  stdin?: 'ignore' | 'pipe';
  more?: readonly 'pipe'[];
}

/** `more`: descriptors from 3 on. Its stdin is empty unless asked for; `stdout` and `stderr` may be read a moment after its `close`. */
export function spawnPiped(
  command: string,
  args: readonly string[],
  { stdin = 'ignore', more = [], ...options }: PipedOptions,
): ChildProcess {
  const [out, err] = [makePipe(), makePipe()];
  try {
    const stdio = [stdin, out.write, err.write, ...more];
    const child = spawn(command, [...args], { ...options, stdio });
    return Object.assign(child, { stdout: readerOf(out.read), stderr: readerOf(err.read) });
  } catch (thrown) {
    for (const { read } of [out, err]) closeSync(read);
    throw thrown;
  } finally {
    for (const { write } of [out, err]) closeSync(write);
  }
}

function makePipe(): { read: number; write: number } {
  const fds = new Int32Array(2);
  check(pipe2(fds, O_CLOEXEC), 'pipe2', 'the output of a program');
  const [read, write] = fds as unknown as [number, number];
  // As much as a socket takes before its writer has to wait. More is refused where pipes are short.
  fcntl(write, F_SETPIPE_SZ, PIPE_BYTES);
  // Whoever has it open may open it by name, as another user too.
  fchmodSync(write, 0o666);
  return { read, write };
}

function readerOf(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: false });
}
