import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Layers } from '../support/layers.js';
import type { TarEntry } from '../support/oci-images.js';

/** Such layers were refused, or their whiteouts took away what the layer itself brings. */
describe('a whiteout beside files of its own layer', () => {
  const layers = new Layers();
  after(() => layers.close());
  const lower: TarEntry[] = [
    { path: 'd/old', content: 'old' },
    { path: 'f', content: 'old' },
  ];
  const orders = (entries: TarEntry[]) => [entries, entries.toReversed()];

  it('leaves a new file of the name, before or after it', async () => {
    for (const upper of orders([{ path: '.wh.f' }, { path: 'f', content: 'new' }]))
      expect(await layers.together([lower, upper], (root) => readFileSync(join(root, 'f'), 'utf8'))).to.equal(
        'new',
      );
  });

  it('takes away the old directory, not the new one', async () => {
    for (const upper of orders([{ path: '.wh.d' }, { path: 'd', type: 'Directory' }, { path: 'd/new' }]))
      expect(await layers.together([lower, upper], (root) => readdirSync(join(root, 'd')))).to.deep.equal([
        'new',
      ]);
  });

  it('takes away all that was in a directory, wherever it stands', async () => {
    for (const upper of orders([{ path: 'd/.wh..wh..opq' }, { path: 'd/new' }, { path: 'd/sub/x' }]))
      expect(
        await layers.together([lower, upper], (root) => readdirSync(join(root, 'd')).sort()),
      ).to.deep.equal(['new', 'sub']);
  });

  it('says nothing by what AUFS kept for itself, but gives links their files', async () => {
    const upper: TarEntry[] = [
      { path: '.wh..wh.aufs' },
      { path: '.wh..wh.orph', type: 'Directory' },
      { path: '.wh..wh.plnk', type: 'Directory' },
      { path: '.wh..wh.plnk/12.34', content: 'linked' },
      { path: 'a', type: 'Link', linkpath: '.wh..wh.plnk/12.34' },
    ];
    await layers.together([lower, upper], (root) => {
      expect(readdirSync(root).filter((name) => name.startsWith('.wh.'))).to.deep.equal([]);
      expect(readFileSync(join(root, 'a'), 'utf8')).to.equal('linked');
      expect(existsSync(join(root, 'f'))).to.equal(true);
    });
  });
});
