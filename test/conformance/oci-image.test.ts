/**
 * Images as the OCI image specification (1.1) has them, and as docker, buildah, podman, Bazel, kaniko, umoci and skopeo of the
 * last ten years write them. One line a rule, with its section. A layer's result is the tree that its function sees.
 */

import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { Pax } from 'tar';
import { chooseManifest, parseConfig } from '../../src/sandbox/engines/oci/image/image.js';
import { manifestParts } from '../../src/sandbox/engines/oci/image/sources.js';
import { directoryInside, fileInside } from '../../src/sandbox/engines/oci/rootfs.js';
import { ImageImports } from '../support/image-imports.js';
import { Layers } from '../support/layers.js';
import { sha256, type TarEntry, tarOf, writeLayout } from '../support/oci-images.js';
import { compressedArchive, dockerSave, dockerSave25, dockerSaveOfV1 } from '../support/old-images.js';
import { errorOf } from '../support/sandboxes.js';
import { zstdOf } from '../support/zstd.js';

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
    /hard link to what is no file in it/,
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

const sizes = { size: 2 };
const digest = `sha256:${'a'.repeat(64)}`;
const other = `sha256:${'b'.repeat(64)}`;
const image = (platform: object | undefined, more: object = {}) => ({
  digest,
  ...sizes,
  ...(platform && { platform }),
  ...more,
});
const chosen =
  (...manifests: object[]) =>
  () =>
    chooseManifest({ manifests }, 'x64').digest;
const amd64 = { os: 'linux', architecture: 'amd64' };
const wrong = { ...image({ os: 'linux', architecture: 'arm64', variant: 'v8' }), digest: other };

const config =
  (run: object, more: object = {}) =>
  () =>
    parseConfig({ ...amd64, config: run, rootfs: { type: 'layers', diff_ids: [digest] }, ...more }, 'x64');
const layerOf = (mediaType: string, more: object = {}) => ({ mediaType, digest, size: 1, ...more });
const manifest =
  (layers: object[], more: object = {}) =>
  () =>
    manifestParts({
      schemaVersion: 2,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 1 },
      layers,
      ...more,
    }).layers.length;

const DOCUMENTS: Array<[rule: string, read: () => unknown, right: unknown]> = [
  ['index: the manifest of this platform', chosen(wrong, image(amd64)), digest],
  ['index, platform: one that says nothing, if it is the only one', chosen(image(undefined)), digest],
  [
    'index, platform: one that fits before one that says nothing',
    chosen({ ...image(undefined), digest: other }, image(amd64)),
    digest,
  ],
  [
    'index, platform.variant: what every processor runs, first',
    chosen({ ...image({ ...amd64, variant: 'v3' }), digest: other }, image(amd64)),
    digest,
  ],
  [
    'index, platform.variant: another, if there is no such',
    chosen(image({ ...amd64, variant: 'v2' })),
    digest,
  ],
  [
    'index, platform: of another system',
    chosen({ ...image({ os: 'windows', architecture: 'amd64' }), digest: other }, image(amd64)),
    digest,
  ],
  [
    'index: attestations (unknown/unknown) are passed over',
    chosen({ ...image({ os: 'unknown', architecture: 'unknown' }), digest: other }, image(amd64)),
    digest,
  ],
  [
    'index, artifactType: signatures and SBOMs are passed over',
    chosen({ ...image(undefined), digest: other, artifactType: 'application/spdx+json' }, image(amd64)),
    digest,
  ],
  ['index: none for this host', chosen(wrong), /for linux\/arm64, and this host needs linux\/amd64/],
  ['index: none at all', chosen(), /for nothing/],
  [
    'config: nothing but layers',
    () => {
      const { entrypoint, cmd, env, workingDir, volumes, ports } = config({})();
      return { entrypoint, cmd, env, workingDir, volumes, ports };
    },
    { entrypoint: [], cmd: [], env: [], workingDir: '/', volumes: [], ports: [] },
  ],
  [
    'config: no config at all',
    () => parseConfig({ ...amd64, rootfs: { diff_ids: [digest] } }, 'x64').cmd,
    [],
  ],
  [
    'config: null for a list, as docker writes it',
    () => {
      const { entrypoint, cmd, env } = config({
        Entrypoint: null,
        Cmd: null,
        Env: null,
        Volumes: null,
        ExposedPorts: null,
        WorkingDir: null,
      })();
      return [entrypoint, cmd, env];
    },
    [[], [], []],
  ],
  [
    'config, Entrypoint and Cmd',
    () => {
      const { entrypoint, cmd } = config({ Entrypoint: ['/a'], Cmd: ['-b'] })();
      return [...entrypoint, ...cmd];
    },
    ['/a', '-b'],
  ],
  [
    'config, Env: what is no assignment is left out',
    () => config({ Env: ['A=1', 'B=', 'C', 'D=x=y'] })().env,
    ['A=1', 'B=', 'D=x=y'],
  ],
  [
    'config, WorkingDir: a relative one is from the root',
    () => config({ WorkingDir: 'app/./x' })().workingDir,
    '/app/x',
  ],
  ['config, WorkingDir: empty', () => config({ WorkingDir: '' })().workingDir, '/'],
  [
    'config, ExposedPorts: with and without protocol',
    () => config({ ExposedPorts: { '80': {}, '81/tcp': {}, '82/udp': {} } })().ports,
    [80, 81],
  ],
  [
    'config, Volumes: relative ones too, and never all of it',
    () => config({ Volumes: { '/data': {}, 'var/x/': {}, '/': {} } })().volumes,
    ['/data', '/var/x'],
  ],
  [
    'config, User, StopSignal, Labels, Healthcheck, ArgsEscaped: read and not used',
    () =>
      config({
        User: 'node:node',
        StopSignal: 'SIGQUIT',
        Labels: { a: 'b' },
        Healthcheck: { Test: ['NONE'] },
        ArgsEscaped: true,
        OnBuild: null,
      })().cmd,
    [],
  ],
  [
    'config, history: layers without content are in it only',
    () => config({}, { history: [{ empty_layer: true }, {}] })().diffIds,
    [digest],
  ],
  [
    'config, os and architecture: left out or empty, as old tools have them',
    () => [
      config({}, { os: '', architecture: '' })().diffIds,
      config({}, { os: undefined, architecture: undefined })().diffIds,
    ],
    [[digest], [digest]],
  ],
  ['config, architecture: another', config({}, { architecture: 's390x' }), /for linux\/s390x/],
  ['config, os: another', config({}, { os: 'windows' }), /for windows\/amd64/],
  ['config, rootfs: no layer', config({}, { rootfs: { diff_ids: [] } }), /has no layers/],
  [
    'config, rootfs: another digest algorithm',
    config({}, { rootfs: { diff_ids: [`sha512:${'a'.repeat(128)}`] } }),
    /no sha256 digest/,
  ],
  ['config, Cmd: a text instead of a list', config({ Cmd: 'run' }), /not a list of texts/],
  ...['tar', 'tar+gzip', 'tar+zstd'].map((end): [string, () => unknown, unknown] => [
    `manifest, layers: ${end}`,
    manifest([layerOf(`application/vnd.oci.image.layer.v1.${end}`)]),
    1,
  ]),
  [
    'manifest, layers: of docker',
    manifest([layerOf('application/vnd.docker.image.rootfs.diff.tar.gzip')]),
    1,
  ],
  [
    'manifest, layers: foreign, if they are there',
    manifest([layerOf('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', { urls: ['https://x'] })]),
    1,
  ],
  [
    'manifest, layers: not to be distributed, if they are there',
    manifest([layerOf('application/vnd.oci.image.layer.nondistributable.v1.tar+gzip')]),
    1,
  ],
  [
    'manifest, layers: encrypted',
    manifest([layerOf('application/vnd.oci.image.layer.v1.tar+gzip+encrypted')]),
    /is encrypted/,
  ],
  ['manifest, layers: no digest', manifest([{ mediaType: 'x' }]), /no sha256 digest/],
  [
    'manifest, config: of docker',
    manifest([], { config: layerOf('application/vnd.docker.container.image.v1+json') }),
    0,
  ],
  [
    'manifest, config: of an artifact that is no image',
    manifest([], { config: layerOf('application/vnd.cncf.helm.config.v1+json') }),
    /not an image of a program/,
  ],
  ['manifest: schema 1', () => manifestParts({ schemaVersion: 1, fsLayers: [] }), /before 2016/],
];

describe('the OCI image specification', () => {
  const layers = new Layers();
  after(() => layers.close());

  for (const [rule, given, right] of TREES)
    it(rule, async () => {
      const seen = layers.together(given, (root) => tree(root));
      if (right instanceof RegExp) expect((await errorOf(seen)).message).to.match(right);
      else expect(await seen).to.deep.equal(right);
    });

  for (const [rule, read, right] of DOCUMENTS)
    it(rule, () => {
      if (right instanceof RegExp) expect(read).to.throw(right);
      else expect(read()).to.deep.equal(right);
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

describe('images as tools write them', function () {
  this.timeout(60_000);
  const images = new ImageImports();
  after(() => images.close());
  const given: TarEntry[][] = [
    [file('a', '1'), file('b')],
    [file('.wh.b'), file('c', '2')],
  ];
  let count = 0;
  const put = (bytes: Buffer): string => {
    const path = join(images.folder, `${count++}.tar`);
    writeFileSync(path, bytes);
    return path;
  };
  const names = given.map((layer) => sha256(tarOf(layer)).slice(7, 31));

  for (const [tool, bytes, tag] of [
    ['docker save before 1.10', dockerSaveOfV1(given), 'latest'],
    ['docker save of 1.10 to 24, by its second tag', dockerSave(given), '2'],
    ['docker save of 25 and later', dockerSave25(given), 'latest'],
    ['docker save through gzip', gzipSync(dockerSave(given))],
    ['docker save through zstd', zstdOf(dockerSave(given))],
    ['Bazel and kaniko, with layers that are compressed', compressedArchive(given)],
  ] as Array<[string, Buffer, string?]>)
    it(tool, async () => {
      const { layers, config } = await images.import(`${put(bytes)}${tag === undefined ? '' : `#${tag}`}`);
      expect([layers, config.cmd]).to.deep.equal([names, ['/bin/true']]);
    });

  it('none of the tag that is asked for', async () => {
    for (const bytes of [dockerSaveOfV1(given), dockerSave(given), dockerSave25(given)])
      expect((await errorOf(images.import(`${put(bytes)}#other`))).code).to.equal('NOT_FOUND');
  });

  it('skopeo: a layout, one with zstd, and archives of OCI and docker; umoci: one more layer', async () => {
    const path = join(images.folder, 'source');
    writeLayout(path, { layers: given, tag: 'v1', gzip: true, config: { Cmd: ['/bin/true'] } });
    const run = (program: string, ...args: string[]) =>
      execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: images.folder });
    const copy = (to: string, ...args: string[]) =>
      run('skopeo', '--insecure-policy', 'copy', '-q', ...args, 'oci:source:v1', to);
    copy('docker-archive:docker.tar:app:v1');
    copy('oci-archive:oci.tar:example.org/app:v1');
    copy('oci:zstd:v1', '--dest-compress-format', 'zstd', '--dest-compress');
    for (const made of ['docker.tar#v1', 'oci.tar#v1', 'zstd#v1'])
      expect((await images.import(join(images.folder, made))).layers, made).to.deep.equal(names);
    mkdirSync(join(images.folder, 'more/deep'), { recursive: true });
    writeFileSync(join(images.folder, 'more/deep/file'), 'umoci');
    run('umoci', 'insert', '--image', 'source:v1', 'more', '/more');
    run('umoci', 'config', '--image', 'source:v1', '--config.workingdir', '/srv', '--config.user', 'nobody');
    const { layers, config } = await images.import(`${path}#v1`);
    expect(layers.slice(0, 2)).to.deep.equal(names);
    expect(readFileSync(join(images.store, layers[2]!, 'more/deep/file'), 'utf8')).to.equal('umoci');
    expect(config.workingDir).to.equal('/srv');
  });
});
