/** Boundary: HTTP. Attackers: web pages of strangers in somebody's browser, answers of functions. */

import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { CONSOLE_FOLDER, CONSOLE_HEADERS } from '../../src/console/assets.js';
import { OciEngine } from '../../src/engine/oci/engine.js';
import { type Ask, ask } from '../gateway/http-client.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { FOREIGN_ASKS, fetched } from './support/web.js';

/** What a function says of more than its own answer, and who may hear of it. */
const SPOKEN: ReadonlyArray<[name: string, value: string, own: boolean]> = [
  ['Set-Cookie', 'session=mine; Path=/', true],
  ['Service-Worker-Allowed', '/', false],
  ['Clear-Site-Data', '"*"', false],
  ['Strict-Transport-Security', 'max-age=31536000', false],
  ['Public-Key-Pins', 'pin-sha256="x"', false],
  ['Expect-CT', 'max-age=1', false],
  ['Alt-Svc', 'h2="evil.example:443"', false],
  ['NEL', '{"report_to":"x"}', false],
  ['Report-To', '{"group":"x"}', false],
  ['Origin-Agent-Cluster', '?0', false],
  ['Reporting-Endpoints', 'x="https://evil.example"', true],
  ['Access-Control-Allow-Origin', '*', true],
  ['Access-Control-Allow-Credentials', 'true', true],
  ['Access-Control-Allow-Private-Network', 'true', true],
  ['Timing-Allow-Origin', '*', true],
  ['Cross-Origin-Resource-Policy', 'cross-origin', true],
  ['Cross-Origin-Opener-Policy', 'unsafe-none', true],
  ['Cross-Origin-Embedder-Policy', 'require-corp', true],
  ['Content-Security-Policy-Report-Only', "default-src 'none'", true],
  ['Link', '</v1/engines>; rel=preload; as=fetch', true],
  ['Refresh', '0; url=/v1/engines', true],
  ['Speculation-Rules', '"/x.json"', true],
  ['WWW-Authenticate', 'Basic realm="your password"', true],
];

describe('escape: HTTP', function () {
  this.timeout(30_000);
  let box: TestBox;
  let url: string;
  let calls = 0;
  before(async () => {
    box = await startBox({
      consoleDir: CONSOLE_FOLDER,
      functionsPort: 0,
      functionsHost: 'functions.example',
      allowedHosts: ['edge.example'],
      allowedOrigins: ['https://shop.example'],
    });
    url = box.gateway.url;
    await box.serve('echo', (call, sink, timeline) => {
      calls++;
      echo(call, sink, timeline);
    });
    await box.serve('speaker', (_call, sink, timeline) => {
      const headers = Object.fromEntries(SPOKEN.map(([name, value]) => [name, value]));
      sink.onHead(200, {
        ...headers,
        'Content-Type': 'text/html',
        'Content-Security-Policy': 'sandbox allow-scripts allow-same-origin',
        'X-Fine': 'yes',
      });
      sink.onChunk(Buffer.from('<h1>page</h1>'));
      sink.onEnd(timeline);
    });
  });
  after(() => box.close());
  beforeEach(() => {
    calls = 0;
  });
  const status = async (path: string, how: Ask = {}): Promise<number> => (await ask(url + path, how)).status;

  for (const [what, headers] of FOREIGN_ASKS) {
    it(`lets a foreign page call, read and change nothing: ${what}`, async () => {
      for (const [method, path] of [
        ['GET', '/function/echo'],
        ['HEAD', '/function/echo'],
        ['POST', '/function/echo'],
        ['OPTIONS', '/function/echo'],
        ['GET', '/v1/engines'],
        ['GET', '/v1/status'],
        ['GET', '/v1/functions/echo/logs?follow=1'],
        ['GET', '/metrics'],
        ['OPTIONS', '/v1/functions/echo'],
        ['DELETE', '/v1/functions/echo'],
      ] as const) {
        expect(await status(path, { method, headers }), `${method} ${path}`).to.equal(403);
      }
      const put = { method: 'PUT', headers, body: '{"code":"export default () => 1;"}' };
      expect(await status('/v1/functions/backdoor', put)).to.equal(403);
      const socket = new WebSocket(`${url.replace('http', 'ws')}/feed`, { headers });
      socket.on('error', () => undefined);
      const [, refused] = await once(socket, 'unexpected-response');
      expect(refused.statusCode).to.equal(403);
      socket.terminate();
      expect(calls).to.equal(0);
      expect(box.platform.registry.list().map(({ ref }) => ref.key)).to.have.members(['echo', 'speaker']);
    });
  }

  it('takes what programs, typed addresses, its own page and configured pages ask', async () => {
    for (const [what, headers] of [
      ['curl', { 'User-Agent': 'curl/8.5.0' }],
      ["node's fetch", { 'User-Agent': 'node', 'Sec-Fetch-Mode': 'cors' }],
      ['an address that somebody typed', fetched('none', 'navigate', 'document')],
      ['its own page', fetched('same-origin', 'cors', 'empty')],
      ['its own page, by an older browser', { 'User-Agent': 'Mozilla/5.0', 'X-Nemo-Request': '1' }],
      ['a page of the box behind a proxy', { Origin: 'https://edge.example' }],
      ['a configured page', { ...fetched('cross-site', 'cors', 'empty'), Origin: 'https://shop.example' }],
    ] as ReadonlyArray<[string, Record<string, string>]>) {
      expect(await status('/function/echo', { headers }), what).to.equal(200);
      expect(await status('/v1/functions', { headers }), what).to.equal(200);
    }
    expect(calls).to.equal(7);
    // The console is the same for everybody, and a link to it may stand anywhere.
    for (const [, headers] of FOREIGN_ASKS) {
      if (headers.Origin === undefined) expect(await status('/', { headers })).to.equal(200);
    }
  });

  it('changes nothing for a browser that does not send X-Nemo-Request, as no foreign page can', async () => {
    const own = { ...fetched('same-origin', 'cors', 'empty'), Origin: url };
    for (const headers of [own, { 'User-Agent': 'Mozilla/5.0' }]) {
      expect(await status('/v1/functions/nobody', { method: 'DELETE', headers })).to.equal(403);
      const asked = { ...headers, 'X-Nemo-Request': '1' };
      expect(await status('/v1/functions/nobody', { method: 'DELETE', headers: asked })).to.equal(404);
    }
    // A program needs none: README's curl lines stay short.
    expect(await status('/v1/functions/nobody', { method: 'DELETE' })).to.equal(404);
  });

  it('tells browsers that a configured page may read answers and send the header, and no other page', async () => {
    const preflight = {
      'Access-Control-Request-Method': 'PUT',
      'Access-Control-Request-Headers': 'x-nemo-request',
    };
    const granted = await ask(`${url}/v1/functions/x`, {
      method: 'OPTIONS',
      headers: { Origin: 'https://shop.example', ...preflight },
    });
    expect(granted.status).to.equal(204);
    expect(granted.headers).to.include({
      'access-control-allow-origin': 'https://shop.example',
      'access-control-allow-methods': 'PUT',
      'access-control-allow-headers': 'x-nemo-request',
    });
    const call = await ask(`${url}/function/echo`, { headers: { Origin: 'https://shop.example' } });
    expect(call.headers['access-control-allow-origin']).to.equal('https://shop.example');
    for (const origin of [
      'https://shop.example.evil',
      'http://shop.example',
      'https://edge.example:8443',
      'null',
    ]) {
      const refused = await ask(`${url}/v1/functions/x`, {
        method: 'OPTIONS',
        headers: { Origin: origin, ...preflight },
      });
      expect(refused.status, origin).to.equal(403);
      expect(refused.headers['access-control-allow-origin'], origin).to.equal(undefined);
    }
  });

  for (const dest of [
    'script',
    'style',
    'worker',
    'sharedworker',
    'serviceworker',
    'iframe',
    'object',
    'audioworklet',
  ]) {
    it(`lets no answer of a function become a ${dest} of the console`, async () => {
      const headers = fetched('same-origin', 'no-cors', dest);
      expect(await status('/function/echo', { headers })).to.equal(403);
      expect(calls).to.equal(0);
    });
  }

  it('gives a function no say over the origin of API and console, and little over its own', async () => {
    const shared = await ask(`${url}/function/speaker`);
    const own = await ask(`${box.gateway.functionsUrl}/function/speaker`);
    expect(shared.headers['content-security-policy']).to.equal('sandbox');
    expect(own.headers['content-security-policy']).to.equal('sandbox allow-scripts allow-same-origin');
    for (const answer of [shared, own]) {
      expect(answer.headers).to.include({ 'x-fine': 'yes', 'content-type': 'text/html' });
      expect(answer.body.toString()).to.equal('<h1>page</h1>');
    }
    for (const [name, value, allowed] of SPOKEN) {
      expect(shared.headers, name).to.not.have.property(name.toLowerCase());
      expect(String(own.headers[name.toLowerCase()]), name).to.equal(allowed ? value : 'undefined');
    }
  });

  it('answers nothing but functions on their own origin, be it a port or a name', async () => {
    const own = box.gateway.functionsUrl!;
    const foreign = { headers: fetched('cross-site', 'no-cors', 'image') };
    expect((await ask(`${own}/function/echo`, foreign)).status).to.equal(200);
    const named = { headers: { Host: 'functions.example', ...foreign.headers } };
    expect((await ask(`${url}/function/echo`, named)).status).to.equal(200);
    for (const path of ['/', '/v1/functions', '/v1/status', '/metrics', '/healthz', '/feed', '/function']) {
      expect((await ask(own + path)).status, path).to.equal(404);
      expect((await ask(url + path, { headers: { Host: 'functions.example:80' } })).status, path).to.equal(
        404,
      );
    }
    const put = { method: 'PUT', body: '{"code":"export default () => 1;"}' };
    expect((await ask(`${own}/v1/functions/echo`, put)).status).to.equal(404);
    const upgrades = [
      [own, {}],
      [url, { Host: 'functions.example' }],
    ] as const;
    for (const [at, headers] of upgrades) {
      const socket = new WebSocket(`${at.replace('http', 'ws')}/feed`, { headers });
      socket.on('error', () => undefined);
      const [, refused] = await once(socket, 'unexpected-response');
      expect(refused.statusCode).to.equal(404);
      socket.terminate();
    }
    // Pages of that origin are foreign to API and console, whatever the browser tells of them.
    for (const headers of [
      { Origin: own },
      { Origin: 'http://functions.example' },
      { ...fetched('same-site', 'cors', 'empty'), Origin: own },
    ]) {
      expect(await status('/v1/functions', { headers })).to.equal(403);
    }
    expect((await ask(`${own}/function/echo`, { headers: { Host: 'rebound.example' } })).status).to.equal(
      403,
    );
  });

  it('sends the console with the policy that its tests run under, and the API with one that shows nothing', async () => {
    const page = await ask(url);
    for (const [name, value] of Object.entries(CONSOLE_HEADERS)) {
      expect(page.headers[name.toLowerCase()], name).to.equal(value);
    }
    expect(page.headers['content-security-policy']).to.not.contain('unsafe');
    const api = await ask(`${url}/v1/functions`);
    expect(api.headers['content-security-policy']).to.contain("default-src 'none'").and.contain('sandbox');
    expect(api.headers['cross-origin-resource-policy']).to.equal('same-origin');
  });

  it('installs nothing for a look at the engines', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'nemo-escape-'));
    const path = process.env.PATH;
    try {
      // A box without runc, whose package manager tells on whoever runs it.
      for (const program of ['apt-get', 'modprobe', 'dpkg-query']) {
        const file = join(folder, program);
        await writeFile(file, `#!/bin/sh\necho "$@" >> ${folder}/ran-${program}\n`);
        await chmod(file, 0o755);
      }
      process.env.PATH = `${folder}:/bin-of-nobody`;
      const engine = new OciEngine({
        directory: join(folder, 'run'),
        storeDir: join(folder, 'store'),
        bundleDir: join(folder, 'bundles'),
      } as ConstructorParameters<typeof OciEngine>[0]);
      const report = await engine.check();
      process.env.PATH = path;
      expect(report.ok).to.equal(false);
      expect(await readdir(folder)).to.have.members(['apt-get', 'modprobe', 'dpkg-query', 'ran-dpkg-query']);
      expect(JSON.stringify(report)).to.match(/not installed: .*apt-get/);
    } finally {
      process.env.PATH = path;
      await rm(folder, { recursive: true, force: true });
    }
  });
});
