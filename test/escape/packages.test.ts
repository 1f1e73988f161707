/** Boundary: the box's disk and its run directory, and who deploys. Attackers: whoever may deploy; a user of the box. */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { checkPackages, type Package, sealPackage } from '../../src/bundle/pack.js';
import { PackageShelf } from '../../src/bundle/package-shelf.js';
import { StorageQuota } from '../../src/host/storage-quota.js';
import { NemoError } from '../../src/model/errors.js';
import { createRegistry } from '../../src/provision/registry.js';
import { toStored } from '../../src/provision/stored-spec.js';
import { openEmbeddedStore } from '../../src/store/embedded.js';
import type { Store } from '../../src/store/store.js';
import { FUNCTION_LIMITS, PACKAGES } from '../../src/tunables/index.js';
import { errorOf } from '../support/sandboxes.js';

describe('escape: packages of a deploy', () => {
  let folder: string;
  let stores: Store[];
  beforeEach(() => {
    folder = mkdtempSync('/tmp/nemo-escape-packages-');
    stores = [];
  });
  afterEach(async () => {
    for (const store of stores) await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const textOf = (count: number, text = '') =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}.mjs`, text]));
  const input = (name: string, count: number, text?: string) => ({
    ...{ name, entries: ['f0.mjs'], files: textOf(count, text) },
  });

  it('have a bounded number of files together, however small they are, and each entry once', () => {
    const half = Math.ceil(PACKAGES.filesMax / 2);
    expect(checkPackages([input('a', half), input('b', PACKAGES.filesMax - half)])).to.have.length(2);
    for (const [bad, told] of [
      [[input('a', PACKAGES.filesMax + 1)], /more than \d+ files together, up to those of a/],
      [[input('a', half), input('b', half + 1)], /up to those of b/],
      [[{ ...input('a', 1), entries: Array.from({ length: 10_000 }, () => 'f0.mjs') }], /an entry twice/],
      [[{ ...input('a', 1), files: ['x'] }], /has no files/],
      [[{ ...input('a', 1), files: { [`${'n'.repeat(130)}.mjs`]: '' } }], /cannot name a file/],
      [[{ ...input('a', 1), files: { 'a/b.mjs': '' } }], /cannot name a file/],
    ] as const)
      expect(() => checkPackages(bad), String(told)).to.throw(told);
  });

  const open = async (maxBytes?: number) => {
    const stateDir = join(folder, 'state');
    mkdirSync(stateDir);
    const quota = new StorageQuota({ stateDir, ...(maxBytes === undefined ? {} : { maxBytes }) });
    const store = openEmbeddedStore(join(folder, 'store'));
    stores.push(store);
    const prepare = async (_engine: string, { content }: { content: Buffer }) => ({ content, ending: 'mjs' });
    const registry = await createRegistry({ store, bundleDir: quota.bundleDir, quota, prepare });
    return { registry, store, quota };
  };

  it('that do not fit into the store leave nothing there of a deploy, neither code nor other packages', async () => {
    const { registry, quota } = await open(100_000);
    await registry.deploy({ name: 'there', code: 'there', packages: [input('a', 1, 'a'.repeat(20_000))] });
    const before = readdirSync(quota.bundleDir).sort();
    const packages = [input('b', 1, 'b'.repeat(30_000)), input('c', 1, 'c'.repeat(60_000))];
    const error = await errorOf(registry.deploy({ name: 'more', code: 'more', packages }));
    expect([error.code, readdirSync(quota.bundleDir).sort()]).to.deep.equal(['STORAGE_FULL', before]);
    // What was there is no part of a failed deploy.
    const again = [input('a', 1, 'a'.repeat(20_000)), input('c', 1, 'c'.repeat(90_000))];
    expect((await errorOf(registry.deploy({ name: 'there', code: 'there', packages: again }))).code).to.equal(
      'STORAGE_FULL',
    );
    expect(readdirSync(quota.bundleDir).sort()).to.deep.equal(before);
    await registry.close();
  });

  it('leave nothing when the store refuses their function', async () => {
    const { registry, store, quota } = await open();
    const put = store.put.bind(store);
    store.put = () => Promise.reject(new NemoError('STORE', 'the store cannot be written'));
    const error = await errorOf(registry.deploy({ name: 'f', code: 'f', packages: [input('a', 1)] }));
    expect([error.code, readdirSync(quota.bundleDir)]).to.deep.equal(['STORE', []]);
    store.put = put;
    await registry.deploy({ name: 'f', code: 'f', packages: [input('a', 1)] });
    await registry.close();
  });

  it('stay when the store took their function and could not say so', async () => {
    const { registry, store, quota } = await open();
    const put = store.put.bind(store);
    store.put = async (...what) => {
      await put(...what);
      throw new NemoError('STORE', 'the answer came too late');
    };
    const error = await errorOf(registry.deploy({ name: 'f', code: 'f', packages: [input('a', 1)] }));
    expect([error.code, readdirSync(quota.bundleDir).length]).to.deep.equal(['STORE', 2]);
    await registry.close();
  });

  it('count with what is known of functions', async () => {
    const { registry, store, quota } = await open();
    const { spec } = await registry.deploy({ name: 'large', code: 'large' });
    await registry.close();
    // Nearly all that there may be.
    let left = FUNCTION_LIMITS.specsMaxBytes - 40_000;
    for (let i = 0; left > 1_000; i++) {
      const large = { ...toStored(spec), name: `large-${i}`, env: { FILL: '' } };
      const bytes = JSON.stringify(large).length;
      large.env.FILL = 'x'.repeat(Math.min(FUNCTION_LIMITS.envMaxBytes - 10, Math.max(0, left - bytes)));
      left -= bytes + large.env.FILL.length;
      await store.put('functions', large.name, large);
    }
    const prepare = async () => ({ content: Buffer.from('1'), ending: 'mjs' });
    const full = await createRegistry({ store, bundleDir: quota.bundleDir, prepare });
    await full.deploy({ name: 'small', code: '1', packages: [input('a', 1)] });
    const entries = Array.from({ length: 500 }, (_, i) => `${'n'.repeat(100)}${i}.mjs`);
    const files = Object.fromEntries(entries.map((name) => [name, '']));
    const packages = [{ name: 'a', entries, files }];
    expect((await errorOf(full.deploy({ name: 'more', code: '1', packages }))).code).to.equal('STORAGE_FULL');
    await full.close();
  });

  describe('as files of the run directory', () => {
    const stored = (sealed: Package) => {
      const path = join(folder, sealed.hash);
      writeFileSync(path, sealed.content);
      return { ...sealed, path };
    };
    const sandbox = (id: string) => {
      const directory = join(folder, id);
      mkdirSync(directory);
      return directory;
    };

    it('are listed by nobody but root, and seen by those that have them', async () => {
      const shelf = new PackageShelf(join(folder, 'shelf'));
      const one = stored(sealPackage(input('a', 200, 'text')));
      const inside = sandbox('s');
      await shelf.place([one], 's', inside);
      expect(statSync(join(folder, 'shelf')).mode & 0o777).to.equal(0o700);
      const place = join(inside, 'packages', one.hash);
      expect([readdirSync(place).length, statSync(join(place, 'f7.mjs')).mode & 0o777]).to.deep.equal([
        200, 0o644,
      ]);
    });

    it('take no more than their share, and what was refused leaves room', async () => {
      const shelf = new PackageShelf(join(folder, 'shelf'), { shelfEntriesMax: 10, shelfMaxBytes: 30_000 });
      const large = (text: string) => stored(sealPackage(input('a', 1, text.repeat(20_000))));
      const [first, second] = [large('1'), large('2')];
      await shelf.place([first], 'a', sandbox('a'));
      const small = stored(sealPackage(input('b', 1, 'small')));
      const error = await errorOf(shelf.place([small, second], 'b', sandbox('b')));
      expect([error.code, readdirSync(join(folder, 'shelf')).includes(second.hash)]).to.deep.equal([
        'NO_CAPACITY',
        false,
      ]);
      await shelf.place([first, small], 'c', sandbox('c'));
      for (const id of ['a', 'b', 'c']) shelf.release(id);
      await shelf.place([second], 'd', sandbox('d'));
      expect(readdirSync(join(folder, 'shelf'))).to.deep.equal([second.hash]);
      // Links count as files do.
      shelf.release('d');
      const many = stored(sealPackage(input('c', 4)));
      await shelf.place([many], 'e', sandbox('e'));
      expect((await errorOf(shelf.place([many], 'f', sandbox('f')))).code).to.equal('NO_CAPACITY');
    });

    it('leave nothing when they cannot be written, and are tried again', async () => {
      const shelf = new PackageShelf(join(folder, 'shelf'));
      const one = stored(sealPackage(input('a', 100, 'text')));
      const inTheWay = join(folder, 'shelf', one.hash, 'f99.mjs');
      mkdirSync(inTheWay, { recursive: true });
      await errorOf(shelf.place([one], 'a', sandbox('a')));
      await shelf.place([one], 'b', sandbox('b'));
      expect(readdirSync(join(folder, 'b', 'packages', one.hash))).to.have.length(100);
    });
  });
});
