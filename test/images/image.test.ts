import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { planImage } from '../../src/engine/oci/plan.js';
import { mountRootfs, unmountBelow } from '../../src/engine/oci/rootfs.js';
import { chooseManifest } from '../../src/images/image.js';
import { checkImageRequest, parseSource } from '../../src/images/reference.js';
import { runCommand } from '../../src/linux/tied-process.js';
import { ImageImports, type ImportInput } from '../support/image-imports.js';
import { busyboxLayer, dockerArchive, sha256, type TarEntry, writeLayout } from '../support/oci-images.js';
import { errorOf } from '../support/sandboxes.js';

describe('images', () => {
  const images = new ImageImports();
  let folder: string;
  let store: string;
  beforeEach(() => {
    folder = mkdtempSync(join(images.folder, 'test-'));
    store = join(folder, 'store');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  after(() => images.close());
  const importImage = (image: string, into: string, input: ImportInput = {}) =>
    images.import(image, { ...input, store: into });
  /** Without what tells their sizes. */
  const stored = () => readdirSync(store).filter((name) => !name.endsWith('.bytes'));
  const layout = (...layers: TarEntry[][]) => {
    writeLayout(join(folder, 'image'), { layers, gzip: true });
    return join(folder, 'image');
  };
  const refused = (...layers: TarEntry[][]) => errorOf(importImage(layout(...layers), store));

  it('reads references', () => {
    const registry = (image: string) => {
      const source = parseSource(image);
      return source.kind === 'registry' ? [source.host, source.repository, source.reference] : [];
    };
    expect(registry('alpine')).to.deep.equal(['registry-1.docker.io', 'library/alpine', 'latest']);
    expect(registry('me/app:2')).to.deep.equal(['registry-1.docker.io', 'me/app', '2']);
    expect(registry('localhost:5000/a/b:c')).to.deep.equal(['localhost:5000', 'a/b', 'c']);
    expect(registry(`r.example/a@sha256:${'0'.repeat(64)}`)[2]).to.equal(`sha256:${'0'.repeat(64)}`);
    expect(parseSource('/x/y.tar#v1')).to.deep.equal({ kind: 'path', path: '/x/y.tar', tag: 'v1' });
    const request = ([image, handler, port]: readonly unknown[]) =>
      checkImageRequest({ image, handler, port });
    expect(request(['a', '/h.js'])).to.deep.equal({ image: 'a', handler: '/h.js' });
    for (const wrong of [
      [''],
      ['A B'],
      ['../x'],
      ['a:b:c'],
      ['a'.repeat(5_000)],
      [1],
      ['{"image":"a"}'],
      ['a', 'h.js'],
      ['a', '/h.js', 0],
    ])
      expect(() => request(wrong), `${wrong}`)
        .to.throw()
        .with.property('code', 'BAD_FUNCTION');
  });

  it('takes a layout, a tar of it and a tar of docker save, and shares the layers', async () => {
    const path = layout([{ path: 'etc/a', content: 'a' }], [{ path: 'etc/b', content: 'b' }]);
    const first = await importImage(path, store);
    await runCommand('tar', ['-C', path, '-cf', join(folder, 'oci.tar'), '.']);
    writeFileSync(
      join(folder, 'docker.tar'),
      dockerArchive({ layers: [[{ path: 'etc/a', content: 'a' }], [{ path: 'etc/c', content: 'c' }]] }),
    );
    expect((await importImage(join(folder, 'oci.tar'), store)).layers).to.deep.equal(first.layers);
    expect((await importImage(join(folder, 'docker.tar'), store)).layers[0]).to.equal(first.layers[0]);
    expect(stored()).to.have.length(3);
  });

  it('takes away what an upper layer takes away', async () => {
    const { layers } = await importImage(
      layout(
        [
          { path: 'd/old', content: '1' },
          { path: 'e/gone', content: '1' },
          { path: 'e/kept', content: '1' },
        ],
        [{ path: 'd/.wh..wh..opq' }, { path: 'd/new', content: '2' }, { path: 'e/.wh.gone' }],
      ),
      store,
    );
    const run = join(folder, 'run');
    mkdirSync(run);
    try {
      const root = await mountRootfs(store, layers, run);
      expect(readdirSync(join(root, 'd'))).to.deep.equal(['new']);
      expect(readdirSync(join(root, 'e'))).to.deep.equal(['kept']);
      expect(() => writeFileSync(join(root, 'e/kept'), '')).to.throw(/EROFS/);
    } finally {
      await unmountBelow(run);
    }
  });

  it('lets nothing raise anybody: no set-id bit, no device', async () => {
    const { layers } = await importImage(
      layout([
        { path: 'su', content: 'x', mode: 0o6755 },
        { path: 'secret', content: 'x', mode: 0o600 },
        { path: 'sda', type: 'CharacterDevice' },
      ]),
      store,
    );
    const mode = (name: string) => lstatSync(join(store, layers[0]!, name)).mode & 0o7777;
    expect([mode('su'), mode('secret')]).to.deep.equal([0o555, 0o444]);
    expect(existsSync(join(store, layers[0]!, 'sda'))).to.equal(false);
  });

  for (const [what, entries] of Object.entries<TarEntry[]>({
    'a path with ..': [{ path: 'a/../../../escaped', content: 'x' }],
    'a write through an absolute link': [
      { path: 'out', type: 'SymbolicLink', linkpath: '/tmp' },
      { path: 'out/escaped', content: 'x' },
    ],
    'a write through a relative link': [
      { path: 'out', type: 'SymbolicLink', linkpath: '../../..' },
      { path: 'out/escaped', content: 'x' },
    ],
    'a hard link to a file of the host': [
      { path: 'shadow', type: 'Link', linkpath: '../../../../etc/shadow' },
    ],
    'a hard link through a link': [
      { path: 'etc', type: 'SymbolicLink', linkpath: '/etc' },
      { path: 'shadow', type: 'Link', linkpath: 'etc/shadow' },
    ],
    'a whiteout of something above': [{ path: 'a/.wh...', content: '' }],
  })) {
    it(`refuses ${what}, and keeps nothing of the layer`, async () => {
      expect((await refused(entries)).code).to.equal('BAD_FUNCTION');
      expect(readdirSync(store)).to.deep.equal([]);
      expect(existsSync(join(tmpdir(), 'escaped'))).to.equal(false);
    });
  }

  it('replaces a link by a file instead of writing through it', async () => {
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'safe');
    await importImage(
      layout([
        { path: 'f', type: 'SymbolicLink', linkpath: victim },
        { path: 'f', content: 'new' },
      ]),
      store,
    );
    expect(readFileSync(victim, 'utf8')).to.equal('safe');
  });

  it('stops a layer that unpacks to more than there is room for', async () => {
    const zeros = layout([{ path: 'zeros', content: Buffer.alloc(8 << 20) }]);
    const error = await errorOf(importImage(zeros, store, { roomBytes: 1 << 20 }));
    expect([error.code, error.message.includes('MiB')]).to.deep.equal(['BAD_FUNCTION', true]);
    const crowd = layout(Array.from({ length: 300 }, (_, i) => ({ path: `${i}` })));
    expect((await errorOf(importImage(crowd, store, { roomBytes: 1 << 20 }))).code).to.equal('BAD_FUNCTION');
    expect(readdirSync(store)).to.deep.equal([]);
  });

  it('says that a blob is damaged, cut or missing', async () => {
    const damage = async (change: (blob: string, content: Buffer) => void) => {
      const path = join(folder, `image-${Math.random()}`);
      const { layers } = writeLayout(path, { layers: [[{ path: 'a', content: 'a' }]], gzip: true });
      const blob = join(path, 'blobs/sha256', layers[0]!.slice(7));
      change(blob, readFileSync(blob));
      return errorOf(importImage(path, store));
    };
    expect((await damage((blob) => appendFileSync(blob, 'x'))).message).to.contain('damaged');
    expect((await damage((blob, all) => writeFileSync(blob, all.subarray(0, 40)))).message).to.contain(
      'damaged',
    );
    expect((await damage((blob) => rmSync(blob))).message).to.contain('lacks');
    expect(readdirSync(store)).to.deep.equal([]);
  });

  it('says that a tar is not an image, cut off, or not there', async () => {
    writeFileSync(join(folder, 'x.tar'), 'not a tar');
    expect((await errorOf(importImage(join(folder, 'x.tar'), store))).code).to.equal('BAD_FUNCTION');
    writeFileSync(join(folder, 'cut.tar'), dockerArchive({ layers: [busyboxLayer()] }).subarray(0, 100_000));
    expect((await errorOf(importImage(join(folder, 'cut.tar'), store))).code).to.equal('BAD_FUNCTION');
    expect((await errorOf(importImage(join(folder, 'none.tar'), store))).code).to.equal('NOT_FOUND');
  });

  it('says which processor an image is for', async () => {
    writeLayout(join(folder, 'image'), { layers: [[{ path: 'a' }]], architecture: 'riscv64' });
    const error = await errorOf(importImage(join(folder, 'image'), store));
    expect([error.code, error.message]).to.deep.include('BAD_FUNCTION');
    expect(error.message).to.contain('riscv64');
    const index = [{ architecture: 's390x' }, { architecture: 'amd64' }].map((platform, i) => ({
      digest: sha256(Buffer.from(`${i}`)),
      platform: { os: 'linux', ...platform },
    }));
    expect(chooseManifest({ manifests: index }, 'x64').digest).to.equal(index[1]!.digest);
    expect(() => chooseManifest({ manifests: index }, 'arm64')).to.throw(/s390x/);
  });

  it('says that the disk is full, and leaves nothing on it', async () => {
    mkdirSync(store);
    await runCommand('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'nemo-test', store]);
    try {
      const error = await refused([{ path: 'big', content: Buffer.alloc(2 << 20, 'x') }]);
      expect([error.code, /the disk is full/.test(error.message)]).to.deep.equal(['STORAGE_FULL', true]);
      expect(readdirSync(store)).to.deep.equal([]);
    } finally {
      await runCommand('umount', [store]);
    }
  });

  it('knows at deploy what cannot start', async () => {
    const run = join(folder, 'run');
    mkdirSync(run);
    const elsewhere = Buffer.alloc(64);
    elsewhere.writeUInt32BE(0x7f454c46);
    elsewhere.writeUInt16LE(22, 18);
    const imported = await importImage(
      layout([
        { path: 'foreign', content: elsewhere },
        { path: 'script', content: '#!/no/such/shell\n' },
        { path: 'loop', type: 'SymbolicLink', linkpath: 'loop' },
      ]),
      store,
    );
    try {
      const root = await mountRootfs(store, imported.layers, run);
      const why = (cmd: string[], handler?: string) => {
        const config = { ...imported.config, cmd };
        try {
          planImage(
            { image: 'x', ...(handler === undefined ? {} : { handler }) },
            { ...imported, config },
            root,
          );
          return 'planned';
        } catch (error) {
          return (error as Error).message;
        }
      };
      expect(why([])).to.contain('no entry point');
      expect(why(['/none'])).to.contain('no program /none');
      expect(why(['/loop'])).to.contain('no program /loop');
      expect(why(['/foreign'])).to.contain('another processor');
      expect(why(['/script'])).to.contain('/no/such/shell');
      expect(why([], '/h.mjs')).to.contain('no program node');
    } finally {
      await unmountBelow(run);
    }
  });
});
