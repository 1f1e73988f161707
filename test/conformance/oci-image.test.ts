/**
 * The documents of images as the OCI image specification (1.1) has them, one line a rule, with its section; and whole images as
 * docker, Bazel, kaniko, umoci and skopeo of the last ten years write them.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { chooseManifest, manifestParts, parseConfig } from '../../src/images/image.js';
import { layerName } from '../../src/images/import.js';
import { ImageImports } from '../support/image-imports.js';
import { sha256, type TarEntry, tarOf, writeLayout } from '../support/oci-images.js';
import { compressedArchive, dockerSave, dockerSave25, dockerSaveOfV1 } from '../support/old-images.js';
import { errorOf } from '../support/sandboxes.js';
import { zstdOf } from '../support/zstd.js';

const file = (path: string, content = ''): TarEntry => ({ path, content });
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
    'config, Volumes: relative ones too',
    () => config({ Volumes: { '/data': {}, 'var/x/': {} } })().volumes,
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
    'manifest, config: of an artifact that is not an image',
    manifest([], { config: layerOf('application/vnd.cncf.helm.config.v1+json') }),
    /not an image of a program/,
  ],
  ['manifest: schema 1', () => manifestParts({ schemaVersion: 1, fsLayers: [] }), /before 2016/],
];
describe('documents of the OCI image specification', () => {
  for (const [rule, read, right] of DOCUMENTS)
    it(rule, () => {
      if (right instanceof RegExp) expect(read).to.throw(right);
      else expect(read()).to.deep.equal(right);
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
  const names = given.map((layer) => layerName(sha256(tarOf(layer))));

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
