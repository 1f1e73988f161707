/**
 * Boots one machine whose memory is a file, waits until its runner is ready, and saves its devices beside that file: a
 * snapshot that any number of machines go on from. Whatever happens, no process and no group is left.
 */

import type { ChildProcess } from 'node:child_process';
import { chmodSync, closeSync, createWriteStream, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { NemoError } from '../../../errors.js';
import type { Cgroup } from '../../../linux/cgroup/driver.js';
import { MICROVM } from '../../../tunables.js';
import { Deferred } from '../ends.js';
import { Channel } from '../process/channel.js';
import { FUNCTION_DIRECTORY } from '../process/launch.js';
import { INIT_MARK } from './guest-image.js';
import { Fd, launchMachine, type MachineFiles, type MachineSpec, socketOf } from './machine.js';
import { Qmp } from './qmp.js';

export interface BootOptions {
  spec: Omit<MachineSpec, 'share' | 'incoming'>;
  files: Omit<MachineFiles, 'memoryFd' | 'devicesFd'>;
  /** Gets `memory` and `devices`. */
  directory: string;
  /** Every user can pass through; for the socket on which QEMU hands over its devices. */
  runDirectory: string;
  seccompPath: string;
  uid: number;
  /** Removed at the end. */
  cgroup: Cgroup;
  timeoutMs: number;
  /** The guest's own first program has to run by then. */
  initTimeoutMs: number;
}

/** Returns how long the boot took. Throws SANDBOX_START with the end of the console. */
export async function bootSnapshot(options: BootOptions): Promise<number> {
  const { spec, files, directory, runDirectory, uid, cgroup } = options;
  const memory = join(directory, 'memory');
  mkdirSync(runDirectory, { recursive: true });
  chmodSync(runDirectory, 0o755);
  const memoryFd = openSync(memory, 'w+', 0o666);
  let child: ChildProcess | undefined;
  let server: Server | undefined;
  try {
    // Only who gets it opened can reach it: the folder is root's alone.
    chmodSync(memory, 0o666);
    ftruncateSync(memoryFd, spec.memoryMb * 2 ** 20);
    const startMs = performance.now();
    child = launchMachine(
      { ...spec, share: true, incoming: false },
      {
        ...{ uid, joinPaths: cgroup.joinPaths, scheduling: 'default', directory: runDirectory },
        seccompPath: options.seccompPath,
      },
      { ...files, memoryFd },
    );
    await untilReady(child, options);
    const bootMs = performance.now() - startMs;
    const socketPath = join(runDirectory, 'devices.sock');
    const saved = new Deferred();
    server = createServer((socket) => {
      pipeline(socket, createWriteStream(join(directory, 'devices'))).then(saved.resolve, saved.reject);
    });
    await new Promise<void>((resolve) => server!.listen(socketPath, resolve));
    chmodSync(socketPath, 0o666);
    const qmp = new Qmp(socketOf(child, Fd.qmp));
    await qmp.save(`unix:${FUNCTION_DIRECTORY}/devices.sock`);
    await saved.promise;
    return bootMs;
  } finally {
    server?.close();
    closeSync(memoryFd);
    await cgroup.remove();
    for (const stream of child?.stdio ?? []) stream?.destroy();
    rmSync(runDirectory, { recursive: true, force: true });
  }
}

async function untilReady(child: ChildProcess, options: BootOptions): Promise<void> {
  const { timeoutMs, initTimeoutMs } = options;
  const ready = new Deferred();
  let console = '';
  let initTimer: NodeJS.Timeout | undefined;
  const failed = (why: string): NemoError => {
    const tail = console.replace(/\r/g, '').trimEnd().slice(-MICROVM.consoleTailChars);
    return new NemoError(
      'SANDBOX_START',
      `the virtual machine ${why}${tail === '' ? '; it wrote nothing to its console' : `; the end of its console:\n${tail}`}`,
      {
        hint: 'leave microvm.kernel out for the kernel that NEMO fetches',
        details: { console: tail, hung: !console.includes(INIT_MARK) && child.exitCode === null },
      },
    );
  };
  const hear = (chunk: Buffer): void => {
    console = (console + chunk).slice(-4 * MICROVM.consoleTailChars);
    if (console.includes(INIT_MARK)) clearTimeout(initTimer);
  };
  child.stderr!.on('data', hear);
  socketOf(child, Fd.console).on('data', hear);
  child.once('error', (error) => ready.reject(failed(`was not started: ${error.message}`)));
  child.once('exit', (code, signal) => {
    const full = signal === 'SIGBUS' || code === 128 + 7 ? ' (the disk of its memory file may be full)' : '';
    // What it wrote last is still in the pipe.
    setTimeout(() => ready.reject(failed(`ended with ${signal ?? `exit code ${code}`}${full}`)), 50);
  });
  let answers = 0;
  const channel = new Channel(socketOf(child, Fd.runner), {
    // First that it is there, then that it has rehearsed what every function will need.
    onReady: () => (answers++ === 0 ? channel.settle() : ready.resolve()),
    onLoaded: () => {},
    onLoadFailed: () => {},
    onViolation: (reason) => ready.reject(failed(`said what makes no sense: ${reason}`)),
  });
  const late = (): void => ready.reject(failed(`did not start its first program within ${initTimeoutMs} ms`));
  initTimer = setTimeout(late, initTimeoutMs);
  try {
    await ready.within(timeoutMs, () => failed(`was not ready within ${timeoutMs} ms`));
  } finally {
    clearTimeout(initTimer);
  }
}
