/**
 * Runs one machine on a memory file of its own until it is ready, and saves its devices beside that file: a snapshot
 * that any number of machines go on from. Whatever happens, no process and no group is left.
 */

import { chmodSync, closeSync, createWriteStream, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Cgroup } from '../../../linux/cgroup/driver.js';
import type { ChildProcess } from '../../../linux/spawn.js';
import { copyWithHoles } from '../../snapshots/memory-file.js';
import { Deferred } from '../ends.js';
import { FUNCTION_DIRECTORY } from '../process/launch.js';
import {
  Fd,
  launchMachine,
  type MachineFiles,
  type MachineRuntime,
  type MachineSpec,
  socketOf,
} from './machine.js';
import { Qmp } from './qmp.js';

export interface MakeOptions {
  spec: Omit<MachineSpec, 'share' | 'incoming'>;
  files: Omit<MachineFiles, 'memoryFd' | 'devicesFd'>;
  /** Gets `memory` and `devices`. */
  directory: string;
  /** The snapshot that it goes on from, a folder like that; without one the machine boots. */
  from?: string;
  /** Every user can pass through; for the socket on which QEMU hands over its devices. */
  runDirectory: string;
  runtime: MachineRuntime;
  scheduling: 'default' | 'idle';
  uid: number;
  /** Removed at the end. */
  cgroup: Cgroup;
}

/** Returns how long it took until the machine was ready. Rejects as `makeReady`, or with SANDBOX_START. */
export async function makeSnapshot(
  options: MakeOptions,
  makeReady: (child: ChildProcess, qmp: Qmp) => Promise<void>,
): Promise<number> {
  const { spec, files, directory, from, runDirectory, runtime, scheduling, uid, cgroup } = options;
  mkdirSync(runDirectory, { recursive: true });
  chmodSync(runDirectory, 0o755);
  const memoryFd = openSync(join(directory, 'memory'), 'w+', 0o600);
  let devicesFd: number | undefined;
  let child: ChildProcess | undefined;
  let server: Server | undefined;
  try {
    if (from === undefined) ftruncateSync(memoryFd, spec.memoryMb * 2 ** 20);
    else {
      await copyWithHoles(join(from, 'memory'), memoryFd);
      devicesFd = openSync(join(from, 'devices'), 'r');
    }
    const startMs = performance.now();
    child = launchMachine(
      { ...spec, share: true, incoming: from !== undefined },
      { uid, joinPaths: cgroup.joinPaths, scheduling, directory: runDirectory, runtime },
      { ...files, memoryFd, ...(devicesFd === undefined ? {} : { devicesFd }) },
    );
    const qmp = new Qmp(socketOf(child, Fd.qmp));
    await makeReady(child, qmp);
    const readyMs = performance.now() - startMs;
    const socketPath = join(runDirectory, 'devices.sock');
    const saved = new Deferred();
    server = createServer((socket) => {
      pipeline(socket, createWriteStream(join(directory, 'devices'), { mode: 0o600 })).then(
        saved.resolve,
        saved.reject,
      );
    });
    await new Promise<void>((resolve) => server!.listen(socketPath, resolve));
    chmodSync(socketPath, 0o666);
    await qmp.save(`unix:${FUNCTION_DIRECTORY}/devices.sock`);
    await saved.promise;
    return readyMs;
  } finally {
    server?.close();
    closeSync(memoryFd);
    if (devicesFd !== undefined) closeSync(devicesFd);
    await cgroup.remove();
    for (const stream of child?.stdio ?? []) stream?.destroy();
    rmSync(runDirectory, { recursive: true, force: true });
  }
}
