/** Boundary: the agent and the images of others. Attackers: who builds an image, who deploys one, a registry. */

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { LaidOutImages } from '../../src/engine/oci/laid-out-images.js';
import { chooseManifest, manifestParts, parseConfig, parseJson } from '../../src/images/image.js';
import { layerName } from '../../src/images/import.js';
import { NemoError } from '../../src/model/errors.js';
import { OCI } from '../../src/tunables/index.js';
import { ImageImports, localRegistry } from '../support/image-imports.js';
import { OciBench } from '../support/oci-bench.js';
import {
  busyboxLayer,
  dockerArchive,
  sha256,
  type TarEntry,
  tarOf,
  writeLayout,
} from '../support/oci-images.js';
import { errorOf } from '../support/sandboxes.js';
import { RegistryServer } from './support/registry-server.js';

describe('escape: images of others', function () {
  this.timeout(60_000);
  const images = new ImageImports();
  const bench = new OciBench();
  after(async () => {
    await images.close();
    await bench.close();
  });
  let count = 0;
  const SECRET: TarEntry[] = [{ path: 'secret', content: 'of somebody' }];
  const layout = (gzip: boolean, ...layers: TarEntry[][]) => {
    const folder = join(images.folder, `image-${count++}`);
    const digests = writeLayout(folder, { layers, gzip });
    return {
      folder,
      digests,
      blob: (i: number) => join(folder, 'blobs/sha256', digests.layers[i]!.slice(7)),
    };
  };

  describe('layers that somebody else sent', () => {
    beforeEach(async () => {
      rmSync(images.store, { recursive: true, force: true });
      await images.import(layout(true, SECRET).folder);
    });

    it('are not had by who knows their digest, without what is in them', async () => {
      const knows = layout(true, SECRET);
      unlinkSync(knows.blob(0));
      expect((await errorOf(images.import(knows.folder))).message).to.contain('the image lacks');
      // Nor with something else in its place.
      writeFileSync(knows.blob(0), tarOf([{ path: 'other', content: 'x' }]));
      expect((await errorOf(images.import(knows.folder))).message).to.contain('is damaged');
      const archive = join(images.folder, 'docker.tar');
      writeFileSync(archive, exchanged(dockerArchive({ layers: [SECRET] }), 'of somebody', 'of anybody!'));
      expect((await errorOf(images.import(archive))).message).to.contain('a layer is damaged');
      expect(images.stored()).to.have.length(1);
    });

    it('are shared with who has them too, however they are compressed', async () => {
      const { layers } = await images.import(layout(false, SECRET).folder);
      const archive = join(images.folder, 'docker.tar');
      writeFileSync(archive, dockerArchive({ layers: [SECRET] }));
      expect((await images.import(archive)).layers).to.deep.equal(layers);
      expect(images.stored()).to.deep.equal(layers);
    });

    it('are taken from a repository once, and from each that says it has them', async () => {
      const { folder, digests } = layout(true, SECRET);
      const registry = new RegistryServer();
      await registry.listen();
      try {
        let gives = true;
        registry.answer = ({ url }, response) => {
          const digest = url!.split('/').at(-1)!;
          if (!gives && digest === digests.layers[0]) response.writeHead(404).end();
          else response.end(readFileSync(join(folder, 'blobs/sha256', digest.slice(7))));
        };
        const pull = (repository: string) =>
          images.import(`${registry.host}/${repository}@${digests.manifest}`, {
            registries: localRegistry(registry.host),
          });
        await pull('me/app');
        gives = false;
        await pull('me/app');
        expect((await errorOf(pull('you/app'))).code).to.equal('NOT_FOUND');
      } finally {
        registry.close();
      }
    });

    it('have names of which nobody makes two', () => {
      const digest = sha256(Buffer.from('x'));
      const name = layerName(digest);
      expect(name).to.match(/^[-\w]{28}$/);
      // 168 bits, each of which counts.
      expect(layerName(`${digest.slice(0, 7 + 41)}f${digest.slice(7 + 42)}`)).to.not.equal(name);
    });
  });

  describe('documents', () => {
    const MIB = OCI.documentMaxBytes;
    const open = '['.repeat(100_000);
    const close = ']'.repeat(100_000);
    const digest = `sha256:${'0'.repeat(64)}`;
    const config = (run: string, more = '') =>
      `{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["${digest}"]},"config":{${run}}${more}}`;
    const list = (one: string, n: number) => `[${`${one},`.repeat(n - 1)}${one}]`;
    const names = (prefix: string, n: number) =>
      Array.from({ length: n }, (_, i) => `"${prefix}${i}":{}`).join();
    for (const [what, text] of [
      ['nested deeply', `{"a":${open}${close}}`],
      ['nested deeply behind a text with brackets', `{"t":"${close}","a":${open}${close}}`],
      ['nested deeply between texts with brackets', `{"a":${'["]",'.repeat(50_000)}1${']'.repeat(50_000)}}`],
      ['nested deeply behind a text with quotes', `{"t":"\\\\\\"${close}\\\\\\\\","a":${open}${close}}`],
      ['of too many bytes', ' '.repeat(MIB + 1)],
      ['no document', 'null'],
      ['of too many manifests', `{"manifests":${list('{}', 100_000)}}`],
      ['of too many layers', `{"config":{"digest":"${digest}"},"layers":${list('{}', 100_000)}}`],
      ['of too many layers in a config', config('').replace(`["${digest}"]`, list('""', 100_000))],
      ['of too many variables', config(`"Env":${list('"A=1"', 100_000)}`)],
      ['of too many words', config(`"Cmd":${list('"a"', 100_000)}`)],
      ['of too many ports', config(`"ExposedPorts":{${names('', 65_000)}}`)],
      ['of too many volumes', config(`"Volumes":{${names('/v', 65_000)}}`)],
      [
        'with the prototype of all objects',
        '{"__proto__":{"layers":[],"config":{}},"constructor":{"prototype":{"os":1}}}',
      ],
      [
        'with a prototype in place of a config',
        config('"__proto__":{"Env":1}', ',"__proto__":{"os":"x"}').replace('"os":"linux"', '"os":7'),
      ],
    ] as const)
      it(`are refused in words, and change nothing: ${what}`, () => {
        const reads = [
          (read: Record<string, unknown>) => manifestParts(read),
          (read: Record<string, unknown>) => chooseManifest(read, 'x64'),
          (read: Record<string, unknown>) => parseConfig(read, 'x64'),
        ];
        for (const read of reads) {
          let thrown: unknown;
          try {
            read(parseJson(Buffer.from(text), 'it'));
          } catch (error) {
            thrown = error;
          }
          expect(thrown).to.be.instanceOf(NemoError).with.property('code', 'BAD_FUNCTION');
          if (what.startsWith('nested')) expect((thrown as NemoError).message).to.contain('too deep');
        }
        expect(Object.getOwnPropertyNames(Object.prototype)).to.not.include.members(['layers', 'os']);
        expect(({} as Record<string, unknown>).layers).to.equal(undefined);
      });

    it('are read with brackets in texts, however many', () => {
      const text = config(`"Cmd":["${'['.repeat(1_000)}","\\\\\\"["]`);
      expect(parseConfig(parseJson(Buffer.from(text), 'it'), 'x64').cmd).to.deep.equal([
        '['.repeat(1_000),
        '\\"[',
      ]);
    });
  });

  for (const volume of ['/.nemo/busybox', '/.nemo', '//.nemo/./function', '/', '/proc/self', '/dev'])
    it(`are refused in words for the volume ${volume}, which hides what is NEMO's`, async () => {
      const folder = join(bench.directory, `volume-${count++}`);
      writeLayout(folder, {
        layers: [busyboxLayer()],
        config: { Cmd: ['/bin/httpd'], Volumes: { [volume]: {} } },
      });
      const { code, message } = await errorOf(bench.deploy({ image: folder }));
      expect([code, message]).to.deep.equal([
        'BAD_FUNCTION',
        `the image has the volume "${volume}", which would hide what every sandbox needs`,
      ]);
    });

  it('are laid out while they have sandboxes, and few without: each deploy is another', () => {
    const [bundleDir, runDir] = ['laid-out-bundles', 'laid-out'].map((name) => join(images.folder, name));
    for (const directory of [bundleDir!, runDir!]) mkdirSync(directory);
    const laidOut = new LaidOutImages({ storeDir: images.store, bundleDir: bundleDir! });
    const plan = { schema: 'nemo.image/1', layers: [], volumes: [] };
    const variants = Array.from({ length: OCI.unusedImagesMax + 10 }, (_, i) => `${i}`.padStart(32, '0'));
    const [used, ...others] = variants.map((variant) => {
      writeFileSync(join(bundleDir!, `${variant}.image`), JSON.stringify(plan));
      return laidOut.take(variant, runDir!).directory;
    });
    expect(readdirSync(runDir!)).to.have.length(variants.length);
    for (const variant of variants.slice(1)) laidOut.leave(variant);
    expect(readdirSync(runDir!)).to.have.length(1 + OCI.unusedImagesMax);
    expect([existsSync(join(used!, 'top/.nemo/busybox')), existsSync(others[0]!)]).to.deep.equal([
      true,
      false,
    ]);
    // One that went is laid out again.
    expect(laidOut.take(variants[1]!, runDir!).directory).to.equal(others[0]);
    expect(existsSync(join(others[0]!, 'root'))).to.equal(true);
  });

  describe('folders that its config names', () => {
    const link = (linkpath: string): TarEntry => ({ path: 'x', type: 'SymbolicLink', linkpath });
    const cases: Array<[what: string, config: Record<string, unknown>, ...more: TarEntry[]]> = [
      ['a working directory too deep to be made', { WorkingDir: '/a'.repeat(70) }],
      ['one with a name that no file system has', { WorkingDir: `/${'a'.repeat(300)}` }],
      ['a program with such a name', { Cmd: [`/${'a'.repeat(300)}`] }],
      ['one where NEMO puts a file', { WorkingDir: '/etc/hosts' }],
      ['a volume there', { Volumes: { '/etc/resolv.conf/x': {} } }],
      ...['/dev', '/proc/sys', '/.nemo/function', '/'].map(
        (hidden): [string, Record<string, unknown>, TarEntry] => [
          `a volume that is a link to ${hidden}`,
          { Volumes: { '/x': {} } },
          link(hidden),
        ],
      ),
    ];
    for (const [what, config, ...more] of cases) {
      it(`are refused at deploy: ${what}`, async () => {
        const folder = join(bench.directory, `folders-${count++}`);
        writeLayout(folder, {
          layers: [[...busyboxLayer(), ...more]],
          config: { Cmd: ['/bin/sh'], ...config },
        });
        expect((await errorOf(bench.deploy({ image: folder }))).code).to.equal('BAD_FUNCTION');
      });
    }
  });

  it('are deployed also when the file of another one is damaged', async () => {
    const damaged = createHash('sha256').update('damaged').digest('hex');
    writeFileSync(join(bench.directory, 'bundles', `${damaged}.image`), 'damaged');
    const folder = join(bench.directory, 'sound');
    writeLayout(folder, { layers: [busyboxLayer()], config: { Cmd: ['/bin/httpd'] } });
    expect(await bench.deploy({ image: folder })).to.have.length(64);
  });
});

/** Text in the content of a tar, of the same length. */
function exchanged(tar: Buffer, before: string, after: string): Buffer {
  return Buffer.from(tar.toString('latin1').replaceAll(before, after), 'latin1');
}
