import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { fetch } from 'undici';
import { findProgram } from '../../src/host/programs.js';
import { endProcess, spawnTied } from '../../src/linux/tied-process.js';
import { ImageImports, localRegistry } from '../support/image-imports.js';
import { sha256, writeLayout } from '../support/oci-images.js';
import { errorOf } from '../support/sandboxes.js';

describe('images from a registry', () => {
  const images = new ImageImports();
  const { folder } = images;
  const importImage = (name: string, store: string) =>
    images.import(name, { store, registries: localRegistry(name.split('/')[0]!) });
  let image: string;
  let digests: ReturnType<typeof writeLayout>;
  const blob = (digest: string) => readFileSync(join(image, 'blobs/sha256', digest.slice(7)));

  before(() => {
    image = join(folder, 'image');
    digests = writeLayout(image, { layers: [[{ path: 'hello', content: 'hello' }]], gzip: true });
  });
  after(() => images.close());

  describe("Debian's docker-registry", () => {
    let registry: ChildProcess | undefined;
    let host = '';
    before(async function () {
      if (findProgram('docker-registry') === undefined) return this.skip();
      const config = join(folder, 'registry.yml');
      const probe = createServer().listen(0, '127.0.0.1');
      await once(probe, 'listening');
      host = `127.0.0.1:${(probe.address() as AddressInfo).port}`;
      probe.close();
      writeFileSync(
        config,
        `version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: ${folder}/registry\nhttp:\n  addr: ${host}\n`,
      );
      registry = spawnTied('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] });
      await new Promise<void>((resolve, reject) => {
        registry!.once('close', () => reject(new Error('docker-registry ended')));
        registry!.stderr!.on('data', (text) => String(text).includes('listening on') && resolve());
      });
      for (const digest of [digests.config, ...digests.layers]) {
        const started = await fetch(`http://${host}/v2/me/app/blobs/uploads/`, { method: 'POST' });
        const to = new URL(started.headers.get('location')!, `http://${host}`);
        to.searchParams.set('digest', digest);
        expect((await fetch(to, { method: 'PUT', body: blob(digest) })).status).to.equal(201);
      }
      const put = await fetch(`http://${host}/v2/me/app/manifests/v1`, {
        method: 'PUT',
        body: blob(digests.manifest),
        headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
      });
      expect(put.status).to.equal(201);
    });
    after(() => registry && endProcess(registry));

    it('gives an image by tag and by digest', async () => {
      const byTag = await importImage(`${host}/me/app:v1`, join(folder, 'a'));
      const byDigest = await importImage(`${host}/me/app@${digests.manifest}`, join(folder, 'b'));
      expect(byTag).to.deep.equal(byDigest);
      expect(readFileSync(join(folder, 'a', byTag.layers[0]!, 'hello'), 'utf8')).to.equal('hello');
    });

    it('has no image of another name', async () => {
      const error = await errorOf(importImage(`${host}/me/app:v2`, join(folder, 'c')));
      expect([error.code, error.message.includes('404')]).to.deep.equal(['NOT_FOUND', true]);
    });
  });

  describe('one that asks for a token and has images for several processors', () => {
    let server: Server;
    let host: string;
    let lies = false;
    const asked: string[] = [];
    before(async () => {
      server = createServer((request, response) => {
        const url = new URL(request.url!, `http://${host}`);
        asked.push(url.pathname);
        if (url.pathname === '/token') {
          response.end(JSON.stringify({ token: `for ${url.searchParams.get('scope')}` }));
        } else if (request.headers.authorization !== 'Bearer for repository:me/app:pull') {
          response.writeHead(401, {
            'www-authenticate': `Bearer realm="http://${host}/token",service="here",scope="repository:me/app:pull"`,
          });
          response.end();
        } else if (url.pathname.endsWith('/manifests/multi')) {
          const entry = (architecture: string, digest: string) => ({
            digest,
            platform: { os: 'linux', architecture },
          });
          const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
          const manifests = [entry('mips', sha256(Buffer.from('x'))), entry(arch, digests.manifest)];
          response.end(JSON.stringify({ manifests }));
        } else {
          const content = blob(url.pathname.split('/').at(-1)!);
          response.end(lies ? Buffer.concat([content, Buffer.from(' ')]) : content);
        }
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    after(() => {
      server.closeAllConnections();
      server.close();
    });

    it('is logged in to once, and gives the image for this host', async () => {
      const { layers } = await importImage(`${host}/me/app:multi`, join(folder, 'd'));
      expect(readFileSync(join(folder, 'd', layers[0]!, 'hello'), 'utf8')).to.equal('hello');
      expect(asked.filter((path) => path === '/token')).to.have.length(1);
    });

    it('is not believed: content without its digest is refused', async () => {
      lies = true;
      const error = await errorOf(importImage(`${host}/me/app:multi`, join(folder, 'e')));
      expect(error.code).to.equal('BAD_FUNCTION');
    });
  });

  it('says that nobody answers', async () => {
    const error = await errorOf(importImage('127.0.0.1:1/me/app', join(folder, 'f')));
    expect([error.code, error.message.includes('127.0.0.1:1')]).to.deep.equal(['NOT_FOUND', true]);
  });
});
