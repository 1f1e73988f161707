/**
 * A program whose output comes through pipes. What node itself makes for `pipe` are sockets, and a socket cannot be
 * opened by its name: `echo >/dev/stderr`, and servers that log to /dev/stdout, fail on one. And it carries open files.
 */

import { closeSync, fchmodSync } from 'node:fs';
import { closePipe, makePipe, type Pipe, pipePair, readerOf } from './pipe-pair.js';
import { type ChildProcess, type SpawnOptions, spawn } from './spawn.js';

export interface PipedOptions extends Omit<SpawnOptions, 'stdio'> {
  stdin?: 'ignore' | 'pipe';
}

/**
 * Its stdin is empty unless asked for; it says to us what it writes to 3, and reads from 4 what we say: `stdio[3]` here.
 * That, `stdout` and `stderr` may be read a moment after its `close`.
 */
export function spawnPiped(
  command: string,
  args: readonly string[],
  { stdin = 'ignore', ...options }: PipedOptions,
): ChildProcess {
  const [out, err, said, told] = ['output', 'errors', 'answers', 'calls'].map((of) =>
    makePipe(`the ${of} of a program`),
  ) as [Pipe, Pipe, Pipe, Pipe];
  // Whoever has it open may open it by name, as another user too.
  for (const { write } of [out, err]) fchmodSync(write, 0o666);
  let child: ChildProcess;
  try {
    const stdio = [stdin, out.write, err.write, said.write, told.read];
    child = spawn(command, [...args], { ...options, stdio });
  } catch (thrown) {
    for (const pipe of [out, err, said, told]) closePipe(pipe);
    throw thrown;
  }
  for (const fd of [out.write, err.write, said.write, told.read]) closeSync(fd);
  (child.stdio as unknown[])[3] = pipePair(said, told);
  return Object.assign(child, { stdout: readerOf(out.read), stderr: readerOf(err.read) });
}
