/** Proxies of other people in front of an agent, as operators put them there: connections are kept on both sides. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { freePort } from '../store/redis-server.js';
import { RealAgent } from '../support/real-agent.js';
import { until } from '../support/waiting.js';
import { bytesOf, ECHO, output } from './run-client.js';

const CALLS = 1_000;

describe('clients: proxies in front', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'nemo-proxies-'));
  const payload = bytesOf(1_000_000);
  const agent = new RealAgent({ policy: 'naive' });
  let proxy: ChildProcess | undefined;
  before(async () => {
    writeFileSync(join(folder, 'payload'), payload);
    await agent.start();
    expect((await agent.deploy('echo', ECHO, { concurrency: 100 })).status).to.equal(201);
    expect((await agent.call('echo', 'warm')).body).to.equal('warm');
  });
  afterEach(async () => {
    if (proxy === undefined) return;
    const ended = once(proxy, 'exit');
    proxy.kill('SIGKILL');
    await ended;
    proxy = undefined;
  });
  after(async () => {
    await agent.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function start(command: string, name: string, config: string, port: number): Promise<string> {
    const file = join(folder, name);
    writeFileSync(file, config);
    const args = command === 'haproxy' ? ['-db', '-f', file] : ['-c', file, '-e', join(folder, 'errors')];
    proxy = spawn(command, args, { stdio: 'ignore' });
    await until(() => listens(port));
    return `http://127.0.0.1:${port}/function/echo`;
  }

  async function holds(url: string): Promise<void> {
    const told = (await output('ab', ['-q', '-k', '-n', String(CALLS), '-c', '8', url])).toString();
    expect(told).to.match(new RegExp(`Complete requests: +${CALLS}\n`));
    expect(told).to.match(/Failed requests: +0\n/);
    expect(told).to.not.contain('Non-2xx');
    const answers = Array.from({ length: 100 }, async (_, i) => {
      return (await (await fetch(url, { method: 'POST', body: `through ${i}` })).text()) === `through ${i}`;
    });
    expect(await Promise.all(answers)).to.not.include(false);
    const file = `@${join(folder, 'payload')}`;
    const back = await output('curl', ['-sS', '--fail', '--data-binary', file, url]);
    expect(back.equals(payload)).to.equal(true);
  }

  it('keep connections a minute without a call, and find them open', async () => {
    const told = (await output('curl', ['-sS', '-i', `${agent.url}/function/echo`])).toString();
    expect(Number(/^keep-alive: timeout=(\d+)/im.exec(told)?.[1])).to.be.greaterThan(60);
  });

  it('haproxy', async () => {
    const port = await freePort();
    const { host } = new URL(agent.url);
    const config = `defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend front
  bind 127.0.0.1:${port}
  default_backend back
backend back
  server one ${host}
`;
    await holds(await start('haproxy', 'haproxy.cfg', config, port));
  });

  it('nginx', async () => {
    const port = await freePort();
    const { host } = new URL(agent.url);
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const config = `daemon off; user root; pid ${folder}/nginx.pid; master_process off;
      events { worker_connections 256; }
      http { access_log off; ${temp.join(' ')} client_max_body_size 8m;
        upstream back { server ${host}; keepalive 16; }
        server { listen 127.0.0.1:${port};
          location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host ${host}; } } }`;
    await holds(await start('nginx', 'nginx.conf', config, port));
  });
});

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
