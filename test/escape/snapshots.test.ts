/**
 * Boundary: the box's disk and other functions, and a machine of a snapshot. Attackers: code that took QEMU over; a slow
 * function; one of a tenant's that may use a lot of memory, or many of different sizes; a user of the box who fills the
 * disk of a store, or takes the name of its directory.
 */

import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { BaseSnapshots } from '../../src/engine/microvm/base-snapshots.js';
import { loadInMachine } from '../../src/engine/microvm/load-in-machine.js';
import { Fd, socketOf } from '../../src/engine/microvm/machine.js';
import { makeSnapshot } from '../../src/engine/microvm/make-snapshot.js';
import { Qmp } from '../../src/engine/microvm/qmp.js';
import { run } from '../../src/host/packages.js';
import type { CgroupDriver } from '../../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { mapShared } from '../../src/linux/libc.js';
import { functionRef } from '../../src/model/function-ref.js';
import { SnapshotManager } from '../../src/snapshots/manager.js';
import { copySnapshot } from '../../src/snapshots/snapshot-files.js';
import { Stores, storesOf } from '../../src/snapshots/stores.js';
import { touchedPages } from '../../src/snapshots/working-set.js';
import { errorOf } from '../support/sandboxes.js';
import { MODULE } from '../support/sources.js';

const MEMORY_MB = 64;
const MB = 2 ** 20;
const GB = 2 ** 30;

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
        ...{ ref: functionRef('slow'), source: MODULE, bundlePath: '', env: {} },
        ...{ memoryBytes: 1, timeoutMs: 15 * 60_000 },
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

  it('are booted one at a time, however many sizes are called for: together none of them gets there in its time', async () => {
    const real = openCgroupDriver({ rootName: `nemo-escape-boots-${process.pid}`, idle: false });
    let booting = 0;
    let most = 0;
    const driver: CgroupDriver = Object.create(real);
    driver.create = (...args) => {
      const group = real.create(...args);
      const remove = group.remove.bind(group);
      most = Math.max(most, ++booting);
      group.remove = async () => {
        await remove();
        booting--;
      };
      return group;
    };
    // No kernel, so each boot ends as soon as it has begun.
    const file = join(folder, 'kernel');
    writeFileSync(file, 'x');
    const stateDir = mkdtempSync(join(folder, 'state-'));
    const onNote = (): void => {};
    const snapshots = new SnapshotManager({
      stores: [{ path: join(stateDir, 's'), budgetBytes: GB }],
      onNote,
    });
    const bases = new BaseSnapshots({
      ...{
        stateDir,
        runDir: join(folder, 'run'),
        snapshots,
        driver,
        accelerator: 'tcg',
        kernel: file,
        uid: 60_899,
      },
      ...{ cores: [0], onNote, runtime: () => ({ seccompPath: file, libraryPath: file }) },
    });
    try {
      const boots = await Promise.all([128, 256, 384, 512].map((mb) => errorOf(bases.ensure(mb))));
      expect(boots.map(({ code }) => code)).to.deep.equal(Array(4).fill('SANDBOX_START'));
      await bases.close();
      expect(await errorOf(bases.ensure(640))).to.have.property('code', 'STOPPING');
    } finally {
      await snapshots.close();
      await real.removeAll();
    }
    expect(most).to.equal(1);
  });

  it('do not make others go for all that a machine could take, but for what one takes', async () => {
    const path = join(folder, 'budget');
    const manager = new SnapshotManager({ stores: [{ path, budgetBytes: 4 * MB }], onNote: () => {} });
    const make = async (directory: string): Promise<number> => {
      for (const name of ['memory', 'devices']) writeFileSync(join(directory, name), 'x');
      return 1_000;
    };
    await manager.ensure('neighbour', { version: '1' }, MB, make);
    await manager.ensure('huge', { version: '1' }, MB, make, 16 * MB);
    expect(manager.list().map(({ key }) => key)).to.deep.equal(['neighbour', 'huge']);
    // There has to be room on the disk for all of it.
    const error = await errorOf(manager.ensure('vast', { version: '1' }, MB, make, 2 ** 60));
    expect(error.code).to.equal('STORAGE_FULL');
    await manager.close();
  });

  it('of large machines are looked through in parts, so that the agent answers others meanwhile', async () => {
    const file = openSync(join(folder, 'large'), 'w+');
    const bytes = GB;
    ftruncateSync(file, bytes);
    const { unmap } = mapShared(file, bytes, 'large');
    let turns = 0;
    let over = false;
    const turn = (): void => {
      turns++;
      if (!over) setImmediate(turn);
    };
    setImmediate(turn);
    try {
      expect(await touchedPages([process.pid], fstatSync(file).ino)).to.deep.equal([]);
    } finally {
      over = true;
      unmap();
      closeSync(file);
    }
    expect(turns).to.be.greaterThan(4);
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
