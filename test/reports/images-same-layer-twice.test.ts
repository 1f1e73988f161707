import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { mountRootfs, unmountBelow } from '../../src/engine/oci/rootfs.js';
import { OCI } from '../../src/tunables/index.js';
import { ImageImports } from '../support/image-imports.js';
import { dockerArchive, type TarEntry, tarOf, writeLayout } from '../support/oci-images.js';
import { errorOf } from '../support/sandboxes.js';

/** The kernel refused to mount it (ELOOP), and the link that `docker save` writes for it was not followed. */
describe('an image with the same layer twice', function () {
  this.timeout(60_000);
  const images = new ImageImports();
  after(() => images.close());
  const again: TarEntry[] = [{ path: 'a', content: 'again' }, { path: '.wh.gone' }];
  const between: TarEntry[] = [
    { path: '.wh.a' },
    { path: 'gone', content: 'x' },
    { path: 'b', content: 'b' },
  ];
  const seen = async (layers: string[]) => {
    const run = join(images.folder, 'run');
    mkdirSync(run);
    try {
      const root = await mountRootfs(images.store, layers, run);
      expect(readFileSync(join(root, 'a'), 'utf8')).to.equal('again');
      return readdirSync(root).filter((name) => !['dev', 'proc', '.nemo', 'tmp'].includes(name));
    } finally {
      await unmountBelow(run);
    }
  };

  it('has what its uppermost copy has and takes away, whatever lies between', async () => {
    writeLayout(join(images.folder, 'image'), { layers: [again, between, again] });
    const { layers } = await images.import(join(images.folder, 'image'));
    expect(await seen(layers)).to.deep.equal(['a', 'b']);
  });

  for (const type of ['SymbolicLink', 'Link'] as const)
    it(`is read from a tar of \`docker save\`, which has a ${type} for it`, async () => {
      const entries = dockerArchive({ layers: [again, between, again] });
      const link = { type, linkpath: type === 'Link' ? '0/layer.tar' : '../0/layer.tar' };
      // The first entries of a tar win over those behind: the third layer is put in anew as a link.
      const twice = Buffer.concat([tarOf([{ path: '3/layer.tar', ...link }]).subarray(0, 512), entries]);
      const text = twice.toString('latin1').replace('"2/layer.tar"]', '"3/layer.tar"]');
      writeFileSync(join(images.folder, `${type}.tar`), Buffer.from(text, 'latin1'));
      const { layers } = await images.import(join(images.folder, `${type}.tar`));
      expect(await seen(layers)).to.deep.equal(['a', 'b']);
    });

  it('has no file outside of its archive by such a link', async () => {
    for (const linkpath of ['/etc/passwd', '../../../../etc/passwd', '../0/layer.tar']) {
      const entries = dockerArchive({ layers: [again] })
        .toString('latin1')
        .replace('"0/layer.tar"', '"9/layer.tar"');
      const link = tarOf([{ path: '9/layer.tar', type: 'SymbolicLink', linkpath }]).subarray(0, 512);
      writeFileSync(join(images.folder, 'out.tar'), Buffer.concat([link, Buffer.from(entries, 'latin1')]));
      const outcome = images.import(join(images.folder, 'out.tar'), { store: join(images.folder, 'other') });
      if (linkpath.startsWith('../0')) expect((await outcome).layers).to.have.length(1);
      else expect((await errorOf(outcome)).message).to.contain('lacks');
    }
  });

  it('may have as many layers as are allowed, which one mount takes', async () => {
    const store = mkdtempSync('/var/tmp/nemo-test-image-of-many-layers-');
    const run = join(images.folder, 'run');
    const names = Array.from({ length: OCI.layersMax }, (_, i) => `${i}`.padStart(OCI.layerNameChars, '0'));
    for (const name of names) mkdirSync(join(store, name, name), { recursive: true });
    mkdirSync(run);
    try {
      const root = await mountRootfs(store, names, run);
      expect(readdirSync(root)).to.include.members([names[0]!, names.at(-1)!]);
    } finally {
      await unmountBelow(run);
      rmSync(store, { recursive: true });
    }
  });

  it('that has more layers than a mount takes says so', async () => {
    const layers = Array.from({ length: OCI.layersMax + 1 }, (_, i): TarEntry[] => [{ path: `${i}` }]);
    writeLayout(join(images.folder, 'many'), { layers });
    const error = await errorOf(images.import(join(images.folder, 'many')));
    expect([error.code, error.message]).to.deep.equal([
      'BAD_FUNCTION',
      `the image has more than ${OCI.layersMax} different layers`,
    ]);
  });
});
