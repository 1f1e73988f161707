/** Has a machine that went on from a stem load a function, for a snapshot. Nothing is called. */

import type { Socket } from 'node:net';
import type { ChildProcess } from '../../linux/spawn.js';
import { NemoError } from '../../model/errors.js';
import { Channel, type ChannelEvents } from '../../sandbox/channel.js';
import { Deferred } from '../../sandbox/ends.js';
import type { LoadOptions } from '../../sandbox/engine.js';
import type { Endings } from '../../sandbox/guarded.js';
import { readLog } from '../../sandbox/log-lines.js';
import { SANDBOX } from '../../tunables/index.js';
import { Fd, socketOf } from './machine.js';
import type { Qmp } from './qmp.js';
import { syncMessage } from './sync-program.js';

/**
 * Where the clock stands at the end: whatever it is set to after a restore is before the time at which OpenSSL drew
 * its last seed, so that it draws a new one.
 */
const FUTURE_MS = 10 * 365 * 86_400_000;

/**
 * Rejects as a load does, or with SANDBOX_START. The function's own time limit is no matter here: snapshots are made one at
 * a time, and others wait.
 */
export async function loadInMachine(
  child: ChildProcess,
  qmp: Qmp,
  load: LoadOptions,
  code: Buffer,
  timeoutMs: number = SANDBOX.loadTimeoutMs,
): Promise<void> {
  const loaded = new Deferred();
  const settled = new Deferred();
  const failed = (why: string) => new NemoError('SANDBOX_START', `the virtual machine ${why}`);
  const fail = (error: NemoError): void => {
    loaded.reject(error);
    settled.reject(error);
  };
  child.once('exit', (exitCode, signal) => fail(failed(`ended with ${signal ?? `exit code ${exitCode}`}`)));
  child.once('error', (error) => fail(failed(`was not started: ${error.message}`)));
  const ends: Endings = {
    onViolation: (reason) => fail(failed(`said what makes no sense: ${reason}`)),
    onFault: fail,
  };
  // What the function prints while it is loaded was said before, by the sandbox that serves.
  for (const stream of [child.stdout!, child.stderr!, socketOf(child, Fd.console)])
    readLog(stream, ends, () => {});
  const events: ChannelEvents = {
    ...ends,
    onReady: () => settled.resolve(),
    onLoaded: () => loaded.resolve(),
    onLoadFailed: fail,
  };
  // It said that it is there before the snapshot that it goes on from was made.
  const channel = new Channel(socketOf(child, Fd.runner), events, 0);
  const timer = setTimeout(() => fail(failed(`was not ready within ${timeoutMs} ms`)), timeoutMs);
  try {
    await Promise.race([goOn(qmp), loaded.promise]);
    const sync = socketOf(child, Fd.sync);
    await Promise.race([synchronise(sync, Date.now()), loaded.promise]);
    channel.load(load, load.bundlePath, code);
    await loaded.promise;
    await Promise.race([synchronise(sync, Date.now() + FUTURE_MS), settled.promise]);
    channel.settle();
    await settled.promise;
  } finally {
    clearTimeout(timer);
  }
}

/** The machine runs once its devices are loaded. What goes wrong ends QEMU, which says why. */
export async function goOn(qmp: Qmp): Promise<void> {
  await qmp.run('migrate-incoming', { uri: `fd:${Fd.devices}` }).catch(() => {});
}

/** Sets a guest's clock and gives it new random numbers. Its answer also says that the machine runs. */
export function synchronise(sync: Socket, nowMs: number): Promise<void> {
  return new Promise((resolve) => {
    sync.once('data', () => {
      // Whatever else it says is not read.
      sync.pause();
      resolve();
    });
    sync.write(syncMessage(nowMs));
    sync.resume();
  });
}
