/**
 * Boundary: the box's disk and other functions, and a machine of a snapshot. Attackers: code that took QEMU over; a slow
 * function; a user of the box who fills the disk of a store, or takes the name of its directory.
 */

import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadInMachine } from '../../src/engine/microvm/load-in-machine.js';
import { Fd, socketOf } from '../../src/engine/microvm/machine.js';
import { makeSnapshot } from '../../src/engine/microvm/make-snapshot.js';
import { Qmp } from '../../src/engine/microvm/qmp.js';
import { run } from '../../src/host/packages.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { functionRef } from '../../src/model/function-ref.js';
import { copySnapshot } from '../../src/snapshots/snapshot-files.js';
import { Stores, storesOf } from '../../src/snapshots/stores.js';
import { errorOf } from '../support/sandboxes.js';

const MEMORY_MB = 64;
const MB = 2 ** 20;

describe('escape: snapshots of machines', () => {
  const folder = mkdtempSync('/var/tmp/nemo-escape-snapshots-');
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('give QEMU a memory file that cannot grow beyond the memory of the machine', async () => {
    const driver = openCgroupDriver({ rootName: `nemo-escape-snapshots-${process.pid}`, idle: false });
    const file = join(folder, 'file');
    writeFileSync(file, 'x');
    const files = { kernel: file, initrd: file, root: file };
    const spec = { accelerator: 'tcg', memoryMb: MEMORY_MB, heapMb: 32 } as const;
    const directory = join(folder, 'made');
    mkdirSync(directory);
    let limits: string[] = [];
    try {
      const making = makeSnapshot(
        {
          ...{
            spec,
            files,
            directory,
            runDirectory: join(folder, 'run'),
            scheduling: 'default',
            uid: 60_899,
          },
          runtime: { seccompPath: file, libraryPath: file },
          cgroup: driver.create('making', { memoryMaxBytes: 128 * 2 ** 20, pidsMax: 16 }),
        },
        async ({ spawnargs }) => {
          limits = spawnargs.filter((word) => word.startsWith('--fsize='));
          throw new Error('enough');
        },
      );
      expect((await errorOf(making)).message).to.equal('enough');
    } finally {
      await driver.removeAll();
    }
    expect(limits).to.deep.equal([`--fsize=${MEMORY_MB * 2 ** 20}:${MEMORY_MB * 2 ** 20}`]);
  });

  it('are given up in their own time, whatever that of the function which loads for ever, and of QEMU', async () => {
    const pipes = Array.from({ length: Fd.console }, () => 'pipe' as const);
    const child = spawn('sleep', ['1000'], { stdio: ['ignore', ...pipes] });
    for (const stream of child.stdio) stream?.on('error', () => {});
    try {
      const qmp = new Qmp(socketOf(child, Fd.qmp));
      const load = {
        ref: functionRef('slow'),
        bundlePath: '',
        env: {},
        memoryBytes: 1,
        timeoutMs: 15 * 60_000,
      };
      const error = await errorOf(loadInMachine(child, qmp, load, Buffer.from(''), 50));
      expect([error.code, error.message]).to.deep.equal([
        'SANDBOX_START',
        'the virtual machine was not ready within 50 ms',
      ]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('are moved whole or not at all: a disk that is full after a part of a write says so at the next one only', async () => {
    const from = join(folder, 'from');
    const to = join(folder, 'to');
    for (const directory of [from, to]) mkdirSync(directory);
    // Zeros take no room, so no write comes after the one that is cut short.
    writeFileSync(join(from, 'memory'), Buffer.concat([Buffer.alloc(3 * MB, 7), Buffer.alloc(MB)]));
    writeFileSync(join(from, 'devices'), '');
    const size = 2.5 * MB;
    expect((await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'nemo-full', to])).exitCode).to.equal(0);
    try {
      expect(await errorOf(copySnapshot(from, to))).to.have.property('code', 'ENOSPC');
      await run('mount', ['-o', `remount,size=${2 * size}`, to]);
      rmSync(join(to, 'memory'));
      await copySnapshot(from, to);
      expect(readFileSync(join(to, 'memory')).equals(readFileSync(join(from, 'memory')))).to.equal(true);
    } finally {
      await run('umount', ['-l', to]);
    }
  });

  it('have a directory of their own in a store where any user may make one, whoever made that of its name first', () => {
    const shared = join(folder, 'shared');
    mkdirSync(shared);
    chmodSync(shared, 0o1777);
    const directoryOf = (): string => {
      const [store] = new Stores(storesOf([{ path: shared, budgetBytes: MB }], folder)).directories;
      return store!.path;
    };
    const usual = directoryOf();
    expect(directoryOf()).to.equal(usual);
    rmSync(usual, { recursive: true });
    mkdirSync(usual);
    chownSync(usual, 65_534, 65_534);
    const other = directoryOf();
    expect(other).not.to.equal(usual);
    // The next agent finds it again.
    expect(directoryOf()).to.equal(other);
  });
});
