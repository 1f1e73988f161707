/**
 * Runs one machine on a memory file of its own until it is ready, and saves its devices beside that file: a snapshot
 * that any number of machines go on from. Whatever happens, no process and no group is left.
 */

import {
  chmodSync,
  chownSync,
  closeSync,
  createWriteStream,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FUNCTION_DIRECTORY } from '../../confinement/launch.js';
import type { SetApart } from '../../confinement/start-apart.js';
import type { Cgroup } from '../../linux/cgroup/driver.js';
import type { ChildProcess } from '../../linux/spawn.js';
import { NemoError } from '../../model/errors.js';
import { Deferred } from '../../sandbox/ends.js';
import { copyWithHoles } from '../../snapshots/memory-file.js';
import { MICROVM } from '../../tunables/index.js';
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
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
  /** Removed at the end. */
  cgroup: Cgroup;
}

/** Returns how long it took until the machine was ready. Rejects as `makeReady`, or with SANDBOX_START. */
export async function makeSnapshot(
  options: MakeOptions,
  makeReady: (child: ChildProcess, qmp: Qmp) => Promise<void>,
): Promise<number> {
  const { spec, files, directory, from, runDirectory, runtime, scheduling, uid, cgroup } = options;
  const { setApart } = options;
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
      {
        ...{ uid, joinPaths: cgroup.joinPaths, scheduling, directory: runDirectory, runtime, setApart },
        // It writes to the memory file, which lies on the box's disk: code that took it over must not make that grow.
        fileMaxBytes: spec.memoryMb * 2 ** 20,
      },
      { ...files, memoryFd, ...(devicesFd === undefined ? {} : { devicesFd }) },
    );
    const qmp = new Qmp(socketOf(child, Fd.qmp));
    await makeReady(child, qmp);
    const readyMs = performance.now() - startMs;
    const socketPath = join(runDirectory, 'devices.sock');
    const saved = new Deferred();
    server = createServer((socket) => {
      const file = createWriteStream(join(directory, 'devices'), { mode: 0o600 });
      pipeline(socket, atMost(MICROVM.devicesMaxBytes), file).then(saved.resolve, (cause: Error) =>
        saved.reject(failed(`its devices were not saved: ${cause.message}`)),
      );
    });
    server.maxConnections = 1;
    server.on('error', (cause) => saved.reject(failed(`its devices cannot be taken: ${cause.message}`)));
    const listening = new Promise<void>((resolve) => server!.listen(socketPath, resolve));
    await Promise.race([listening, saved.promise]);
    chownSync(socketPath, uid, uid);
    chmodSync(socketPath, 0o600);
    await qmp.save(`unix:${FUNCTION_DIRECTORY}/devices.sock`);
    await saved.within(MICROVM.saveTimeoutMs, () => failed('its devices did not come'));
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

function failed(why: string): NemoError {
  return new NemoError('SANDBOX_START', `QEMU: ${why}`);
}

/** Passes a stream on, and ends it with an error where it is longer: a disk is not QEMU's to fill. */
function atMost(maxBytes: number): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > maxBytes) done(new RangeError(`more than ${maxBytes} bytes`));
      else done(null, chunk);
    },
  });
}
