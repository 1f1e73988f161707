import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { Pax } from 'tar';
import { Slots } from '../../src/confinement/confined/slots.js';
import { StorageQuota } from '../../src/host/storage-quota.js';
import { parseIndex } from '../../src/images/archive.js';
import { LayerWriter } from '../../src/images/layer.js';
import { sealLayer } from '../../src/images/seal.js';
import { indexTar } from '../../src/images/tar-index.js';
import { runCommand } from '../../src/linux/tied-process.js';
import { NemoError } from '../../src/model/errors.js';
import { createRegistry } from '../../src/provision/registry.js';
import { openEmbeddedStore } from '../../src/store/embedded.js';
import { OCI, STORAGE } from '../../src/tunables/index.js';
import { FUZZ_TIMEOUT_MS, fuzz, fuzzAsync } from '../support/fuzz.js';
import { ImageImports, type ImportInput } from '../support/image-imports.js';
import { sha256, type TarEntry, tarOf } from '../support/oci-images.js';
import { errorOf } from '../support/sandboxes.js';
import { zstdBomb, zstdOf } from '../support/zstd.js';

const MIB = 1 << 20;
const UID = 60_899;

describe('layers of an image of a stranger', function () {
  this.timeout(60_000);
  const images = new ImageImports();
  let count = 0;
  after(() => images.close());

  /** An image of one layer: the blob as it is, and what its config says that it unpacks to. */
  const imageOf = (blob: Buffer, tar: Buffer): string => {
    const folder = join(images.folder, `image-${count++}`);
    const blobs = join(folder, 'blobs', 'sha256');
    mkdirSync(blobs, { recursive: true });
    const put = (bytes: Buffer) => {
      const digest = sha256(bytes);
      writeFileSync(join(blobs, digest.slice(7)), bytes);
      return { digest, size: bytes.length };
    };
    const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
    const config = { os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: [sha256(tar)] } };
    const manifest = { config: put(Buffer.from(JSON.stringify(config))), layers: [put(blob)] };
    const index = { manifests: [put(Buffer.from(JSON.stringify(manifest)))] };
    writeFileSync(join(folder, 'index.json'), JSON.stringify(index));
    return folder;
  };
  const take = (blob: Buffer, tar = blob, input: ImportInput = {}) =>
    images.import(imageOf(blob, tar), input);
  const refused = async (blob: Buffer, tar = blob, input: ImportInput = {}) => {
    const error = await errorOf(take(blob, tar, input));
    expect(images.stored(), 'what is left in the store').to.deep.equal([]);
    expect(images.driver.list()).to.deep.equal([]);
    return error;
  };
  beforeEach(() => {
    rmSync(images.store, { recursive: true, force: true });
    mkdirSync(images.store);
  });
  const room = { roomBytes: MIB };
  const large = (bytes: number): TarEntry => ({
    path: 'large',
    content: Buffer.alloc(bytes, 'text, and more of it. '),
  });

  it('are not unpacked twice: a compressed layer in a compressed layer', async () => {
    const inner = gzipSync(tarOf([large(8 * MIB)]));
    expect((await refused(gzipSync(inner), inner, room)).message).to.contain('compressed twice');
    const other = zstdOf(tarOf([large(8 * MIB)]));
    expect((await refused(gzipSync(other), other, room)).message).to.contain('compressed twice');
  });

  it('are counted in all of their gzip members', async () => {
    const tar = tarOf([{ path: 'small', content: 'x' }, large(8 * MIB)]);
    const members = Buffer.concat([gzipSync(tar.subarray(0, 1024)), gzipSync(tar.subarray(1024))]);
    expect((await refused(members, tar, room)).message).to.contain('MiB');
    expect((await take(members, tar)).layers).to.have.length(1);
  });

  it('may be zstd, which is counted alike', async () => {
    const tar = tarOf([{ path: 'hello', content: 'hello' }]);
    const { layers } = await take(zstdOf(tar), tar);
    expect(readFileSync(join(images.store, layers[0]!, 'hello'), 'utf8')).to.equal('hello');
    rmSync(images.store, { recursive: true });
    mkdirSync(images.store);
    const head = tarOf([{ path: 'zeros', content: Buffer.alloc((4 * 1024 * MIB) / 4096) }]).subarray(0, 512);
    expect((await refused(zstdBomb(head, 40_000), head, room)).code).to.equal('BAD_FUNCTION');
  });

  for (const [format, blobOf] of [
    ['zstd', (head: Buffer) => zstdBomb(head, 1_000)],
    ['gzip', (head: Buffer) => gzipSync(Buffer.concat([head, Buffer.alloc(32 * MIB)]))],
  ] as const)
    it(`have an end, after which little comes: ${format}`, async () => {
      const head = tarOf([{ path: 'hello', content: 'hello' }]);
      expect((await refused(blobOf(head))).message).to.contain('goes on after its end');
    });

  it('are held to a number of headers, also of what is left out', async () => {
    const write = (bytes: Buffer) =>
      new Promise<Error | null | undefined>((resolve) => {
        const root = mkdtempSync(join(images.folder, 'headers-'));
        const layer = new LayerWriter(root, { bytes: MIB, entries: 10 }, '/gone');
        layer.write(bytes, (first) => (first ? resolve(first) : layer.end(resolve)));
      });
    const devices = (count: number) =>
      tarOf(Array.from({ length: count }, () => ({ path: 'disk', type: 'CharacterDevice' })));
    expect(await write(devices(20))).to.equal(null);
    expect((await write(devices(21)))?.message).to.contain('files unpacked');
  });

  it('are counted with the directories on the way to their files', async () => {
    const path = (i: number) => `${Array.from({ length: 40 }, (_, k) => `${i}-${k}`).join('/')}/f`;
    const deep = tarOf(Array.from({ length: 10 }, (_, i) => ({ path: path(i), content: 'x' })));
    // 410 of 4 KiB each.
    expect((await refused(deep, deep, room)).message).to.contain('MiB');
    expect((await take(deep, deep, { roomBytes: 2 * MIB })).layers).to.have.length(1);
  });

  it('go neither too deep nor have paths that are too long', async () => {
    const parts = (n: number, name: string) => Array.from({ length: n }, () => name).join('/');
    const long = (path: string) =>
      Buffer.concat([new Pax({ path }).encode(), tarOf([{ path: 'f', content: 'x' }])]);
    for (const path of [parts(OCI.depthMax + 2, 'd'), parts(12, 'n'.repeat(200)), 'x'.repeat(256)])
      expect((await refused(long(path))).code, path).to.equal('BAD_FUNCTION');
    expect((await take(long(`${parts(OCI.depthMax - 1, 'd')}/f`))).layers).to.have.length(1);
  });

  it('are held to a number of entries, and to what their headers may have', async () => {
    const crowd = tarOf(Array.from({ length: 2_000 }, (_, i) => ({ path: `${i}` })));
    expect((await refused(gzipSync(crowd), crowd, room)).message).to.contain('files');
    const sparse = tarOf([{ path: 'huge', content: 'x' }]);
    // It says that it has 8 GiB, and has one block.
    sparse.write('77777777777\0', 124, 'latin1');
    sparse.write('        ', 148, 'latin1');
    let sum = 0;
    for (const byte of sparse.subarray(0, 512)) sum += byte;
    sparse.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    expect((await refused(sparse)).code).to.equal('BAD_FUNCTION');
  });

  it('belong to root, may be read by all, and have no bit that raises anybody', async () => {
    const tar = tarOf([
      { path: 'd', type: 'Directory', mode: 0o7777 },
      { path: 'd/su', content: 'x', mode: 0o6755 },
      { path: 'd/same', type: 'Link', linkpath: 'd/su' },
      { path: 'd/link', type: 'SymbolicLink', linkpath: '/etc/shadow' },
    ]);
    const { layers } = await take(tar);
    const found = (name: string) => lstatSync(join(images.store, layers[0]!, name));
    const owners = ['', 'd', 'd/su', 'd/same', 'd/link'].map((name) => [found(name).uid, found(name).gid]);
    expect(new Set(owners.flat())).to.deep.equal(new Set([0]));
    expect([found('').mode, found('d').mode, found('d/su').mode].map((mode) => mode & 0o7777)).to.deep.equal([
      0o755, 0o755, 0o555,
    ]);
  });

  it('are looked at again after they were unpacked: whoever did that is not believed', () => {
    const attempt = (make: (folder: string) => void, owner = UID) => {
      const folder = mkdtempSync(join(images.folder, 'sealed-'));
      make(folder);
      execFileSync('chown', ['-hR', `${owner}`, folder]);
      const sealing = { uid: UID, takenAway: '/gone', room: { bytes: MIB, entries: 10 } };
      try {
        sealLayer(folder, sealing);
        return 'sealed';
      } catch (error) {
        return (error as NemoError).code;
      }
    };
    expect(attempt((folder) => writeFileSync(join(folder, 'f'), 'x'))).to.equal('sealed');
    const attempts: Array<(folder: string) => void> = [
      (folder) => void execFileSync('mkfifo', [join(folder, 'pipe')]),
      (folder) => void execFileSync('mknod', [join(folder, 'disk'), 'b', '8', '0']),
      (folder) => writeFileSync(join(folder, 'f'), Buffer.alloc(2 * MIB)),
      (folder) => Array.from({ length: 20 }, (_, i) => symlinkSync('x', join(folder, `${i}`))),
      (folder) => void mkdirSync(join(folder, ...Array(OCI.depthMax + 2).fill('d')), { recursive: true }),
    ];
    for (const [i, make] of attempts.entries()) expect(attempt(make), `${i}`).to.equal('BAD_FUNCTION');
    // Something that another user put there.
    expect(attempt((folder) => writeFileSync(join(folder, 'f'), 'x'), UID + 1)).to.equal('BAD_FUNCTION');
  });

  it('cannot ask for what only NEMO makes: a link that stands for what is taken away', async () => {
    const tar = tarOf([{ path: 'a', type: 'SymbolicLink', linkpath: '/gone' }]);
    const { layers } = await take(tar);
    expect(lstatSync(join(images.store, layers[0]!, 'a')).isSymbolicLink()).to.equal(true);
  });

  it('are imported one at a time, and few wait', async () => {
    const slots = new Slots(1, 2, 'imports of images');
    let running = 0;
    let most = 0;
    const release: Array<() => void> = [];
    const work = () =>
      slots.hold(async () => {
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => release.push(resolve));
        running--;
      });
    const all = [work(), work(), work()];
    expect((await errorOf(work())).code).to.equal('OVERLOADED');
    for (const one of all) {
      release.shift()!();
      await one;
      await new Promise(setImmediate);
    }
    expect(most).to.equal(1);
  });

  it('and code are refused with 507 once the store has no room, which leaves what is there', async () => {
    const stateDir = mkdtempSync(join(images.folder, 'state-'));
    const quota = new StorageQuota({ stateDir, maxBytes: 100_000 });
    const store = openEmbeddedStore(join(stateDir, 'store'));
    const registry = await createRegistry({
      ...{ store, bundleDir: quota.bundleDir, quota },
      prepare: async (_engine, { content }) => ({ content, ending: 'mjs' }),
    });
    try {
      await registry.deploy({ name: 'small', code: 'x'.repeat(60_000) });
      const error = await errorOf(registry.deploy({ name: 'more', code: 'y'.repeat(60_000) }));
      expect([error.code, error.httpStatus]).to.deep.equal(['STORAGE_FULL', 507]);
      expect(registry.list().map(({ ref }) => ref.key)).to.deep.equal(['small']);
      expect(readdirSync(quota.bundleDir)).to.have.length(1);
      // Layers are counted with it.
      mkdirSync(quota.imageDir);
      writeFileSync(join(quota.imageDir, 'layer.bytes'), '40000\n');
      expect(await quota.room()).to.equal(0);
    } finally {
      await registry.close();
      await store.close();
    }
  });

  it('stop before the disk is full', async () => {
    const small = join(images.folder, 'small-disk');
    mkdirSync(small);
    const size = STORAGE.diskFreeMinBytes + 4 * MIB;
    await runCommand('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'nemo-test', small]);
    try {
      const tar = tarOf([{ path: 'large', content: Buffer.alloc(size) }]);
      const error = await errorOf(images.import(imageOf(gzipSync(tar, { level: 1 }), tar), { store: small }));
      expect(error.code).to.equal('STORAGE_FULL');
      expect(readdirSync(small)).to.deep.equal([]);
    } finally {
      await runCommand('umount', [small]);
    }
  });

  describe('take hostile messages', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    const path = fc.oneof(
      fc.constantFrom('a', 'a/b', '../x', '/etc/x', 'l/x', '.wh.a', 'a/.wh..wh..opq', '.wh...', './', ''),
      fc.string({ maxLength: 20 }),
    );
    const entry = fc.record({
      path: path.map((text) => text.replaceAll('\0', '') || 'p'),
      type: fc.constantFrom('File', 'Directory', 'SymbolicLink', 'Link', 'CharacterDevice' as const),
      linkpath: fc.constantFrom('a', '../../canary', '/etc', '..', 'l'),
      mode: fc.integer({ min: 0, max: 0o7777 }),
    });
    /** Tars that are right but for a few bytes. */
    const tar = fc
      .tuple(
        fc.array(entry, { minLength: 1, maxLength: 4 }),
        fc.array(fc.tuple(fc.nat(2_000), fc.nat(255)), { maxLength: 3 }),
      )
      .map(([entries, changes]) => {
        const bytes = tarOf(entries as TarEntry[]);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        return bytes;
      });
    const folder = () => mkdtempSync(join(images.folder, 'fuzz-'));

    it('hostile messages as tars: nothing is written outside', async () => {
      const around = folder();
      const canary = join(around, 'canary');
      writeFileSync(canary, 'safe');
      const root = join(around, 'deep', 'root');
      await fuzzAsync(tar, async (bytes) => {
        rmSync(join(around, 'deep'), { recursive: true, force: true });
        mkdirSync(root, { recursive: true });
        const layer = new LayerWriter(root, { bytes: MIB, entries: 100 }, '/gone');
        const error = await new Promise<Error | null | undefined>((resolve) =>
          layer.write(bytes, (first) => (first ? resolve(first) : layer.end(resolve))),
        );
        const known = error == null || error instanceof NemoError || 'code' in error || 'tarCode' in error;
        const outside = readdirSync(around).length === 2 && readdirSync(join(around, 'deep')).length === 1;
        return known && outside && readFileSync(canary, 'utf8') === 'safe' && !existsSync('/etc/x');
      });
    });

    it('hostile messages as archives, whose files are told from their headers', () => {
      const file = join(folder(), 'archive.tar');
      fuzz(
        fc.oneof(
          tar,
          fc.uint8Array({ maxLength: 1_500 }).map((bytes) => Buffer.from(bytes)),
        ),
        (bytes) => {
          writeFileSync(file, bytes);
          const fd = openSync(file, 'r');
          try {
            return indexTar(fd).every(([, at, size]) => at >= 512 && size >= 0 && at + size <= bytes.length);
          } catch (error) {
            return !/undefined|not a function|out of range/.test((error as Error).message);
          } finally {
            closeSync(fd);
          }
        },
      );
    });

    it('hostile messages as what a confined program says of an archive', () =>
      fuzz(
        fc.oneof(
          fc.json(),
          fc.array(fc.tuple(fc.string(), fc.integer(), fc.integer())).map((all) => JSON.stringify(all)),
          fc.string(),
        ),
        (text) => {
          try {
            return parseIndex(Buffer.from(text)).every(([, at, size]) => at >= 0 && size >= 0);
          } catch (error) {
            return error instanceof NemoError;
          }
        },
      ));
  });
});
