/** What callers have stored is held to more than its bytes: to how many files it is, and to what looking at them costs. */

import { createHook } from 'node:async_hooks';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { StoredLayers } from '../../src/engine/oci/stored-layers.js';
import { StorageQuota, type StorageQuotaOptions } from '../../src/host/storage-quota.js';
import { runCommand } from '../../src/linux/tied-process.js';
import { ImageUploads } from '../../src/provision/image-uploads.js';
import { createRegistry, type StoredRegistry } from '../../src/provision/registry.js';
import { openEmbeddedStore } from '../../src/store/embedded.js';
import type { Store } from '../../src/store/store.js';
import { STORAGE, UPLOAD } from '../../src/tunables/index.js';
import { ImageImports } from '../support/image-imports.js';
import { OciBench } from '../support/oci-bench.js';
import { busyboxLayer, type TarEntry, writeLayout } from '../support/oci-images.js';
import { errorOf } from '../support/sandboxes.js';
import { asItCame } from '../support/sources.js';
import { until } from '../support/waiting.js';

const MIB = 1 << 20;

/** A registry of functions whose code is stored as it comes. */
class Box {
  readonly quota: StorageQuota;
  private readonly store: Store;

  constructor(options: StorageQuotaOptions) {
    this.quota = new StorageQuota(options);
    this.store = openEmbeddedStore(join(options.stateDir, 'store'));
  }

  open(bundleGraceMs = 60_000): Promise<StoredRegistry> {
    const { store, quota } = this;
    return createRegistry({ store, bundleDir: quota.bundleDir, quota, prepare: asItCame, bundleGraceMs });
  }

  close(): Promise<void> {
    return this.store.close();
  }
}

/** Calls of the file system that node is asked for meanwhile. */
async function fileCalls(work: () => Promise<unknown>): Promise<number> {
  let calls = 0;
  const init = (_id: number, type: string): void => {
    if (type.startsWith('FSREQ')) calls++;
  };
  const hook = createHook({ init }).enable();
  await work().finally(() => hook.disable());
  return calls;
}

describe('stored files of strangers', function () {
  this.timeout(60_000);
  const folder = mkdtempSync('/var/tmp/nemo-test-stored-');
  chmodSync(folder, 0o755);
  after(() => rmSync(folder, { recursive: true, force: true }));
  const within = async (
    options: Partial<StorageQuotaOptions>,
    work: (box: Box) => Promise<void>,
  ): Promise<void> => {
    const box = new Box({ stateDir: mkdtempSync(join(folder, 'state-')), ...options });
    await work(box).finally(() => box.close());
  };
  /** With so many inodes, removed at the end. */
  const onSmallDisk = async (inodes: number, work: (disk: string) => Promise<void>): Promise<void> => {
    const disk = mkdtempSync(join(folder, 'disk-'));
    const options = `size=${256 * MIB},nr_inodes=${inodes},mode=755`;
    await runCommand('mount', ['-t', 'tmpfs', '-o', options, 'nemo-test', disk]);
    await work(disk).finally(() => runCommand('umount', [disk]));
  };

  it('go when they are replaced, also while deploys never pause', () =>
    within({}, async (box) => {
      const registry = await box.open(1_000);
      const { spec } = await registry.deploy({ name: 'swapped', code: '0' });
      const first = registry.bundlePath(spec);
      let deploys = 0;
      while (existsSync(first) && deploys < 4_000) {
        await registry.deploy({ name: 'swapped', code: `${++deploys}` });
      }
      await registry.close();
      expect(existsSync(first)).to.equal(false);
    }));

  it('count as what they take of a disk, not as a few bytes', () =>
    within({ maxBytes: 4 * STORAGE.fileMinBytes }, async (box) => {
      const registry = await box.open();
      for (let i = 0; i < 4; i++) await registry.deploy({ name: `small-${i}`, code: `${i}` });
      expect((await errorOf(registry.deploy({ name: 'small-4', code: '4' }))).code).to.equal('STORAGE_FULL');
      await registry.close();
    }));

  it('are not looked at one by one for each deploy and each part of an image', () =>
    within({}, async ({ quota }) => {
      mkdirSync(quota.bundleDir);
      for (let i = 0; i < 1_000; i++) writeFileSync(join(quota.bundleDir, `${i}`), '');
      await quota.require([1], 'a part');
      const calls = await fileCalls(async () => {
        for (let i = 0; i < 100; i++) await quota.require([1], 'a part');
      });
      expect(calls).to.be.lessThan(1_000);
    }));

  it('give room again once they are gone, though nobody looked', () =>
    within({ maxBytes: 2 * STORAGE.fileMinBytes }, async ({ quota }) => {
      mkdirSync(quota.bundleDir);
      const large = join(quota.bundleDir, 'large');
      writeFileSync(large, Buffer.alloc(2 * STORAGE.fileMinBytes));
      expect((await errorOf(quota.require([1], 'a part'))).code).to.equal('STORAGE_FULL');
      rmSync(large);
      await quota.require([1], 'a part');
    }));

  it('are read once at the start, however many functions name them', () =>
    within({}, async (box) => {
      const before = await box.open();
      for (let i = 0; i < 100; i++) await before.deploy({ name: `same-${i}`, code: 'same' });
      await before.close();
      let again: StoredRegistry | undefined;
      const calls = await fileCalls(async () => {
        again = await box.open();
      });
      expect(again!.list()).to.have.length(100);
      await again!.close();
      expect(calls).to.be.lessThan(100);
    }));

  it('go with the deploy that brought them, when it fails; others that are not stored yet stay', async () => {
    const bench = new OciBench();
    try {
      const stored = () => readdirSync(join(bench.directory, 'images')).length;
      const prepare = (config: Record<string, unknown>) => {
        const image = mkdtempSync(join(bench.directory, 'image-'));
        writeLayout(image, {
          layers: [[...busyboxLayer(), { path: 'own', content: image }]],
          config,
          architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
        });
        return bench.engine.prepare({ functionName: 'f', source: { kind: 'image', image } });
      };
      expect((await errorOf(prepare({}))).message).to.contain('no entry point');
      expect(stored()).to.equal(0);
      await prepare({ Entrypoint: ['/bin/httpd'] });
      await errorOf(prepare({}));
      // The layer, and its size beside it.
      expect(stored()).to.equal(2);
      await bench.layers.sweep(0);
      expect(stored()).to.equal(0);
    } finally {
      await bench.close();
    }
  });

  it('go when nobody sends on: the bytes of an archive keep it no longer than its sender', () =>
    within({}, async ({ quota }) => {
      const uploads = await ImageUploads.open(quota, 500);
      const { id } = await uploads.create('client');
      await uploads.append(id, 0, Buffer.alloc(UPLOAD.partMaxBytes));
      await until(() => readdirSync(quota.uploadDir).length === 0);
      const late = uploads.append(id, UPLOAD.partMaxBytes, Buffer.alloc(1));
      expect((await errorOf(late)).code).to.equal('NOT_FOUND');
      await uploads.close();
    }));

  it('make way for others: layers that no function has any more', () =>
    within({ maxBytes: MIB }, async ({ quota }) => {
      mkdirSync(join(quota.imageDir, 'unused'), { recursive: true });
      writeFileSync(join(quota.imageDir, 'unused.bytes'), `${MIB}\n`);
      expect((await errorOf(quota.require([1], 'a part'))).code).to.equal('STORAGE_FULL');
      const layers = new StoredLayers({ storeDir: quota.imageDir, bundleDir: quota.bundleDir });
      quota.makeRoom = () => layers.sweep(0);
      await quota.require([1], 'a part');
      expect(readdirSync(quota.imageDir)).to.deep.equal([]);
    }));

  it('leave the disk inodes: of functions', () =>
    onSmallDisk(STORAGE.inodesFreeMin + 10, (stateDir) =>
      within({ stateDir }, async (box) => {
        const registry = await box.open();
        const deploys = Array.from({ length: 20 }, (_, i) =>
          registry.deploy({ name: `small-${i}`, code: `${i}` }),
        );
        expect((await errorOf(Promise.all(deploys))).code).to.equal('STORAGE_FULL');
        await registry.close();
      }),
    ));

  it('leave the disk inodes: of images', async () => {
    const images = new ImageImports();
    try {
      await onSmallDisk(STORAGE.inodesFreeMin + 5_000, async (disk) => {
        const layers = [Array.from({ length: 12_000 }, (_, i): TarEntry => ({ path: `file-${i}` }))];
        const image = join(images.folder, 'many-files');
        writeLayout(image, { layers, architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' });
        const error = await errorOf(images.import(image, { store: join(disk, 'store') }));
        expect(error.message).to.contain('room');
        expect(statfsSync(disk).ffree).to.be.greaterThan(STORAGE.inodesFreeMin);
      });
    } finally {
      await images.close();
    }
  });
});
