/**
 * Layers as the OCI image specification (1.1) has them, in tars as the tools of the last ten years write them. One line a rule,
 * with its section. The result is the tree that a function sees.
 */

import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { Pax } from 'tar';
import { directoryInside, fileInside } from '../../src/engine/oci/rootfs.js';
import { inFrames } from '../../src/images/confined/zstd-frames.js';
import { isCompressed } from '../../src/images/layer.js';
import { Layers } from '../support/layers.js';
import { type TarEntry, tarOf } from '../support/oci-images.js';
import { errorOf } from '../support/sandboxes.js';
import { skippable, zstdOf } from '../support/zstd.js';

const NEMO_S_OWN = ['dev', 'proc', 'tmp', '.nemo'];

/**
 * Every entry but NEMO's own: `path=content`, `path/`, `path -> target`. Overlayfs lists a whiteout in a directory that no
 * lower layer has, and says that there is no such file.
 */
function tree(root: string, below = ''): string[] {
  return readdirSync(join(root, below))
    .sort()
    .filter((name) => below !== '' || !NEMO_S_OWN.includes(name))
    .flatMap((name) => {
      const path = join(below, name);
      const found = lstatSync(join(root, path), { throwIfNoEntry: false });
      if (found === undefined) return [];
      if (found.isDirectory()) return [`${path}/`, ...tree(root, path)];
      if (found.isSymbolicLink()) return [`${path} -> ${readlinkSync(join(root, path))}`];
      return [found.isFile() ? `${path}=${readFileSync(join(root, path), 'utf8')}` : `${path}: special`];
    });
}

const file = (path: string, content = ''): TarEntry => ({ path, content });
const folder = (path: string): TarEntry => ({ path, type: 'Directory' });
const link = (path: string, linkpath: string): TarEntry => ({ path, type: 'SymbolicLink', linkpath });
const hard = (path: string, linkpath: string): TarEntry => ({ path, type: 'Link', linkpath });
const pax = (values: object, entry: TarEntry): Buffer =>
  Buffer.concat([new Pax(values).encode(), tarOf([entry])]);
const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;
const longTree = (content: string) => [`${'d'.repeat(90)}/`, `${long.slice(0, 181)}/`, `${long}=${content}`];
/** An entry with a header before it, of a type that the library does not write. */
const before = (type: 'L' | 'K' | 'x', text: string, entry: TarEntry): Buffer => {
  const [head, rest] = [tarOf([file('././@LongLink', text)]).subarray(0, -1_024), tarOf([entry])];
  head.write(type, 156, 'latin1');
  return Buffer.concat([sealed(head), rest]);
};
/** GNU's own header for a name of any length. */
const gnu = (type: 'L' | 'K', text: string, entry: TarEntry) => before(type, `${text}\0`, entry);
/** The header's checksum made right again. */
const sealed = (tar: Buffer): Buffer => {
  tar.write(' '.repeat(8), 148, 'latin1');
  const sum = tar.subarray(0, 512).reduce((all, byte) => all + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return tar;
};

type Layer = TarEntry[] | Buffer;
const TREES: Array<[rule: string, layers: Layer[], tree: string[] | RegExp]> = [
  [
    'layer, change types: added, modified',
    [
      [file('a', '1'), file('b', '1')],
      [file('b', '2'), file('c', '2')],
    ],
    ['a=1', 'b=2', 'c=2'],
  ],
  ['layer, representing changes: whiteout', [[file('a'), file('b')], [file('.wh.a')]], ['b=']],
  ['layer, whiteouts: of a directory', [[file('d/a'), file('b')], [file('.wh.d')]], ['b=']],
  ['layer, whiteouts: below a directory', [[file('d/a'), file('d/b')], [file('d/.wh.a')]], ['d/', 'd/b=']],
  ['layer, whiteouts: of what is not there', [[file('a')], [file('.wh.b'), file('e/.wh.c')]], ['a=', 'e/']],
  ['layer, whiteouts: apply to lower layers only', [[file('.wh.a'), file('a', '1')]], ['a=1']],
  [
    'layer, whiteouts: and what a third layer adds again is there',
    [[file('a', '1')], [file('.wh.a')], [file('a', '3')]],
    ['a=3'],
  ],
  [
    'layer, whiteouts: as AUFS wrote them, hard links',
    [[file('a')], [file('.wh..wh.aufs'), hard('.wh.a', '.wh..wh.aufs')]],
    [],
  ],
  [
    'layer, opaque whiteout',
    [
      [file('d/a'), file('d/e/b')],
      [file('d/.wh..wh..opq'), file('d/c')],
    ],
    ['d/', 'd/c='],
  ],
  [
    'layer, opaque whiteout: behind its siblings',
    [[file('d/a')], [file('d/c'), file('d/.wh..wh..opq')]],
    ['d/', 'd/c='],
  ],
  ['layer, opaque whiteout: of the root', [[file('a')], [file('.wh..wh..opq'), file('b')]], ['b=']],
  ['layer, applying: a directory stays with what is in it', [[file('d/a')], [folder('d/')]], ['d/', 'd/a=']],
  ['layer, applying: a file replaces a directory', [[file('d/a')], [file('d', 'file')]], ['d=file']],
  ['layer, applying: a directory replaces a file', [[file('d')], [folder('d'), file('d/a')]], ['d/', 'd/a=']],
  [
    'layer, applying: a link replaces a directory',
    [[file('d/a'), file('e/b')], [link('d', 'e')]],
    ['d -> e', 'e/', 'e/b='],
  ],
  ['layer, applying: no entry at all', [[file('a')], Buffer.alloc(1_024)], ['a=']],
  [
    'layer, file types: links, also those that lead nowhere',
    [[link('l', '/no/where'), link('m', '../up')]],
    ['l -> /no/where', 'm -> ../up'],
  ],
  [
    'layer, file types: devices and pipes are left out',
    [
      [
        { path: 'null', type: 'CharacterDevice' },
        { path: 'sda', type: 'BlockDevice' },
        { path: 'pipe', type: 'FIFO' },
        file('a'),
      ],
    ],
    ['a='],
  ],
  ['layer, hard links', [[file('a', '1'), hard('b', 'a')]], ['a=1', 'b=1']],
  [
    'layer, hard links: as ./a, and as /a',
    [[file('a', '1'), hard('b', './a'), hard('c', '/a')]],
    ['a=1', 'b=1', 'c=1'],
  ],
  ['layer, hard links: before their file', [[hard('b', 'a'), file('a', '1')]], ['a=1', 'b=1']],
  [
    'layer, hard links: a later entry of the name wins',
    [[hard('b', 'a'), file('b', '2'), file('a', '1')]],
    ['a=1', 'b=2'],
  ],
  [
    'layer, hard links: to a lower layer are refused',
    [[file('a')], [hard('b', 'a')]],
    /hard link to something that is not a file in it/,
  ],
  [
    'tar: ./ before names',
    [[folder('./'), file('./a'), folder('./d/'), file('./d/b')]],
    ['a=', 'd/', 'd/b='],
  ],
  ['tar: / before names', [[file('/a'), file('//d//b')]], ['a=', 'd/', 'd/b=']],
  ['tar: .. in a name is refused', [[file('a/../../b')]], /outside of the image/],
  ['tar: the later of two entries wins', [[file('a', '1'), file('a', '2')]], ['a=2']],
  ['tar: a directory behind what is in it', [[file('d/a'), folder('d/')]], ['d/', 'd/a=']],
  ['tar: parents that are missing are made', [[file('d/e/f')]], ['d/', 'd/e/', 'd/e/f=']],
  [
    'tar: a parent that is a link to a directory of the layer',
    [[folder('usr/lib'), link('lib', 'usr/lib'), file('lib/a')]],
    ['lib -> usr/lib', 'usr/', 'usr/lib/', 'usr/lib/a='],
  ],
  [
    'tar: a parent that is an absolute link',
    [[folder('run'), link('var/run', '/run'), file('var/run/a')]],
    ['run/', 'run/a=', 'var/', 'var/run -> /run'],
  ],
  [
    'tar: a parent that links to itself is refused',
    [[link('l', 'l'), file('l/a')]],
    /which is not a directory/,
  ],
  ['tar: a parent that is a file is refused', [[file('f'), file('f/a')]], /which is not a directory/],
  ['tar: nothing that ends it', [tarOf([file('a', '1')]).subarray(0, -1_024)], ['a=1']],
  [
    'tar: what lies behind its end is not read',
    [Buffer.concat([tarOf([file('a')]), tarOf([file('b')])])],
    ['a='],
  ],
  ['tar: cut off', [tarOf([file('a', 'x'.repeat(2_000))]).subarray(0, 1_500)], /./],
  ['tar, GNU: long names', [gnu('L', long, file('short', '1'))], longTree('1')],
  ['tar, GNU: long targets of links', [gnu('K', `/${long}`, link('l', 'short'))], [`l -> /${long}`]],
  ['tar, PAX: long names', [pax({ path: long }, file('short', '1'))], longTree('1')],
  ['tar, PAX: long targets of links', [pax({ linkpath: `/${long}` }, link('l', 'short'))], [`l -> /${long}`]],
  ['tar, PAX: names beyond ASCII', [pax({ path: 'Főtanúsítvány' }, file('x', '1'))], ['Főtanúsítvány=1']],
  [
    'tar, PAX: a header for all',
    [Buffer.concat([new Pax({ comment: 'git' } as object, true).encode(), tarOf([file('a')])])],
    ['a='],
  ],
  [
    'tar, ustar: a prefix before the name',
    [[file(`${'d'.repeat(60)}/${'e'.repeat(60)}`)]],
    [`${'d'.repeat(60)}/`, `${'d'.repeat(60)}/${'e'.repeat(60)}=`],
  ],
  [
    'tar, PAX: extended attributes, and keys that nobody knows',
    [before('x', '30 SCHILY.xattr.user.mine=abcd\n18 LIBARCHIVE.x=1\n', file('a', '1'))],
    ['a=1'],
  ],
  [
    'tar: a name that is not UTF-8 has replacement characters',
    [sealed(Buffer.concat([Buffer.from('a\xe9', 'latin1'), tarOf([file('', '1')]).subarray(2)]))],
    ['a\ufffd=1'],
  ],
  [
    'tar: sparse files are refused by what they are',
    [pax({ path: 'GNUSparseFile.0/a' }, file('x'))],
    /sparse/,
  ],
  [
    'attributes: users beyond 65535, and what needs another notation',
    [
      [
        { ...file('a'), uid: 1_000_000 },
        { ...file('b'), uid: 4_000_000_000 },
      ],
    ],
    ['a=', 'b='],
  ],
  [
    'attributes: times before 1970 and after 2242',
    [
      [
        { ...file('a'), mtime: new Date(-1e12) },
        { ...file('b'), mtime: new Date(8.7e12) },
      ],
    ],
    ['a=', 'b='],
  ],
];
const INFLATE = '../../src/images/confined/inflate-main.js';
const TAR = tarOf([file('a', 'x'.repeat(300_000)), file('b', '1')]);
const [ONE, OTHER] = [zstdOf(TAR.subarray(0, 200_000)), zstdOf(TAR.subarray(200_000))];
const EMPTY = zstdOf(Buffer.alloc(0));
const SKIPPED = skippable(0, Buffer.alloc(70_000, 'zstd:chunked'));
const FRAMES: Array<[what: string, frames: Buffer[], right?: Buffer]> = [
  ['one', [zstdOf(TAR)]],
  ['several', [ONE, OTHER]],
  ['an empty one before, between and behind', [EMPTY, ONE, EMPTY, EMPTY, OTHER, EMPTY]],
  ['one to skip at the start', [SKIPPED, ONE, OTHER]],
  ['one to skip between', [ONE, SKIPPED, OTHER]],
  [
    'those to skip at the end, as zstd:chunked has them',
    [ONE, OTHER, SKIPPED, skippable(15, Buffer.alloc(64))],
  ],
  [
    'those to skip that have nothing',
    [skippable(7, Buffer.alloc(0)), ONE, skippable(15, Buffer.alloc(0)), OTHER],
  ],
  [
    'a thousand',
    Array.from({ length: 1_000 }, (_, i) => zstdOf(Buffer.from([i & 255]))),
    Buffer.from(Array.from({ length: 1_000 }, (_, i) => i & 255)),
  ],
];
const inflate = (input: Buffer) =>
  spawnSync(process.execPath, [fileURLToPath(new URL(INFLATE, import.meta.url)), 'zstd'], {
    input,
    maxBuffer: 1 << 24,
  });

describe('layers of zstd (RFC 8878, 3.1): all frames', () => {
  for (const [what, frames, right = TAR] of FRAMES)
    it(what, async () => {
      const blob = Buffer.concat(frames);
      expect(isCompressed(blob)).to.equal('zstd');
      const { stdout, stderr } = inflate(blob);
      expect(stderr.toString()).to.equal('');
      expect(stdout.equals(right)).to.equal(true);
      const kept = Buffer.concat(frames.filter((frame) => frame.readUInt32LE() === 0xfd2fb528));
      for (const size of [1, 2, 3, 5, 7, 11, 13, 65_536]) {
        if (size < 11 && blob.length > 100_000) continue;
        const chunks = Array.from({ length: Math.ceil(blob.length / size) }, (_, i) =>
          blob.subarray(i * size, (i + 1) * size),
        );
        const parts: Buffer[] = [];
        for await (const part of inFrames(Readable.from(chunks))) parts.push(part);
        expect(Buffer.concat(parts).equals(kept), `in chunks of ${size}`).to.equal(true);
      }
    });

  for (const [what, blob] of [
    ['that are cut off', Buffer.concat([ONE, OTHER.subarray(0, -1)])],
    ['that are cut off in a head', Buffer.concat([ONE, OTHER.subarray(0, 3)])],
    ['to skip that are cut off', Buffer.concat([ONE, SKIPPED.subarray(0, -1)])],
    ['before something else', Buffer.concat([ONE, Buffer.from('something else')])],
  ] as const)
    it(`refused: ${what}`, () => {
      const { status, stderr } = inflate(blob);
      expect([status, stderr.toString()]).to.satisfy(
        ([code, text]: [number, string]) => code === 4 && text.includes('it is damaged'),
      );
    });
});

describe('layers of the OCI image specification', () => {
  const layers = new Layers();
  after(() => layers.close());

  for (const [rule, given, right] of TREES)
    it(rule, async () => {
      const seen = layers.together(given, (root) => tree(root));
      if (right instanceof RegExp) expect((await errorOf(seen)).message).to.match(right);
      else expect(await seen).to.deep.equal(right);
    });

  it('config, WorkingDir and Volumes: made where they are missing, never above a link', async () => {
    const given = [
      folder('run'),
      link('var/run', '/run'),
      file('f'),
      link('loop', 'loop'),
      link('up', '../../..'),
    ];
    await layers.together([given], (root) => {
      const places = ['/var/run/app', '/run', '/new/a', '/f', '/f/x', '/loop', '/up/new', '/new/../x'];
      expect(places.map((path) => directoryInside(root, path))).to.deep.equal([
        ...['/run/app', '/run', '/new/a', undefined, undefined, undefined, '/new', undefined],
      ]);
      expect(fileInside(root, '/up/f')).to.equal(join(root, 'f'));
    });
  });
});
