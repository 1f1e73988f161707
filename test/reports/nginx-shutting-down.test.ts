/** Reported: a worker of nginx that only serves what it has left is guarded as a new NF, with warnings that mean nothing. */

import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect } from 'chai';
import { listPids, processArgs, processStat } from '../../src/linux/process.js';
import { spawnTied } from '../../src/linux/tied-process.js';
import { Discovery } from '../../src/nf/discovery.js';
import { BUILTIN_PROFILES, loadProfiles } from '../../src/nf/profiles.js';
import { until } from '../support/waiting.js';

/** A port that nobody listens at. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('report: nginx reloads while a client is still served', function () {
  this.timeout(30_000);
  const folder = mkdtempSync('/var/tmp/nemo-nginx-');
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('the old worker is an NF no longer, the new one is', async function () {
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (n) => `${n}_temp_path ${folder}/${n};`,
    );
    const port = await freePort();
    writeFileSync(`${folder}/big`, Buffer.alloc(64 * 1024 * 1024));
    writeFileSync(
      `${folder}/nginx.conf`,
      `daemon off; user root; pid ${folder}/pid; error_log stderr notice; worker_processes 1; worker_cpu_affinity 10;
       events {} http { access_log off; ${temp.join(' ')} server { listen 127.0.0.1:${port}; root ${folder}; } }`,
    );
    const nginx = spawnTied('nginx', ['-c', `${folder}/nginx.conf`], { stdio: ['ignore', 'ignore', 'pipe'] });
    const missing = once(nginx, 'error').then(() => 'missing');
    const up = once(nginx.stderr!, 'data').then(() => 'up');
    if ((await Promise.race([missing, up])) === 'missing') this.skip();
    const workers = () => listPids().filter((pid) => processStat(pid)?.parentPid === nginx.pid);
    const discovery = new Discovery(loadProfiles([BUILTIN_PROFILES]));
    const found = () =>
      discovery
        .scan()
        .filter(({ pid }) => workers().includes(pid))
        .map(({ pid }) => pid);
    let client: Socket | undefined;
    try {
      await until(() => found().length === 1);
      const [old] = found();
      client = connect(port, '127.0.0.1');
      client.write('GET /big HTTP/1.1\r\nHost: x\r\n\r\n');
      await once(client, 'readable');
      nginx.kill('SIGHUP');
      await until(() => processArgs(old!).join(' ').includes('shutting down'));
      await until(() => workers().length === 2 && found().length === 1);
      // At the very next scan, though nothing but its title has changed; and it stays out.
      for (let scan = 0; scan < 3; scan++) expect(found()).to.not.include(old);
      expect(workers()).to.include(old);
      // Nor does an agent take it for one that starts now.
      const anew = new Discovery(loadProfiles([BUILTIN_PROFILES])).scan().map(({ pid }) => pid);
      expect(anew).to.not.include(old);
      expect(anew).to.include(found()[0]);
    } finally {
      client?.destroy();
      // Killed, it would leave its workers behind.
      const ended = once(nginx, 'exit');
      nginx.kill('SIGTERM');
      await ended;
    }
  });
});
