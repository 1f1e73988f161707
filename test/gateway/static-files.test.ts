import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { CONSOLE_HEADERS } from '../../src/console/assets.js';
import { ask, rawSocket, untilClosed } from './http-client.js';
import { startBox, type TestBox } from './in-process-platform.js';

describe('console files', () => {
  let directory: string;
  let box: TestBox;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nemo-console-'));
    const consoleDir = join(directory, 'web');
    await mkdir(join(consoleDir, 'assets'), { recursive: true });
    await writeFile(join(consoleDir, 'index.html'), '<!doctype html><title>NEMO</title>');
    await writeFile(join(consoleDir, 'assets/app-1a2b.js'), 'export {};');
    await writeFile(join(directory, 'secret.txt'), 'secret');
    await symlink(join(directory, 'secret.txt'), join(consoleDir, 'link.txt'));
    box = await startBox({ consoleDir });
  });
  after(async () => {
    await box.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('serves the page, fresh each time, that may talk to this agent only', async () => {
    const answer = await ask(`${box.gateway.url}/?theme=dark`);
    expect(answer.status).to.equal(200);
    expect(answer.body.toString()).to.contain('<title>NEMO');
    expect(answer.headers['content-type']).to.match(/^text\/html/);
    expect(answer.headers['cache-control']).to.equal('no-cache');
    expect(answer.headers['content-security-policy']).to.equal(CONSOLE_HEADERS['Content-Security-Policy']);
    const again = await ask(box.gateway.url, { headers: { 'If-None-Match': answer.headers.etag! } });
    expect(again.status).to.equal(304);
    expect(again.body).to.have.length(0);
  });

  it('lets hashed assets be kept for ever', async () => {
    const answer = await ask(`${box.gateway.url}/assets/app-1a2b.js`);
    expect(answer.headers['cache-control']).to.contain('immutable');
    expect(answer.headers['content-type']).to.match(/^text\/javascript/);
    const head = await ask(`${box.gateway.url}/assets/app-1a2b.js`, { method: 'HEAD' });
    expect(head.headers['content-length']).to.equal('10');
    expect(head.body).to.have.length(0);
  });

  for (const path of [
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/..%5c..%5csecret.txt',
    '//secret.txt',
    '/link.txt',
    '/index.html%00.js',
    '/assets',
    '/assets/',
    '/%zz',
  ]) {
    it(`finds nothing at ${path}`, async () => {
      const socket = await rawSocket(box.gateway.port);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      const answer = await untilClosed(socket);
      expect(answer)
        .to.match(/^HTTP\/1\.1 40[04]/)
        .and.not.match(/\r\n\r\nsecret/);
    });
  }

  it('takes only GET and HEAD', async () => {
    expect((await ask(box.gateway.url, { method: 'POST' })).status).to.equal(404);
  });
});
