import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { CgroupThrottle } from '../../../src/linux/cgroup/throttle.js';
import { OCI, SANDBOX } from '../../../src/tunables/index.js';
import { attempt, EVALUATOR, itHoldsAgainstEscapes } from '../../support/escapes.js';
import { CONTAINER_ANSWERS } from '../../support/native-attempts.js';
import { OciBench } from '../../support/oci-bench.js';
import { busyboxLayer, nodeLayer, writeLayout } from '../../support/oci-images.js';
import { call, errorOf } from '../../support/sandboxes.js';
import { letTimePass, until } from '../../support/waiting.js';

const WHO = `#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo "$GREETING/$FROM_IMAGE"
`;

describe('an image that is an HTTP server', () => {
  const bench = new OciBench();
  let variant: string;
  before(async () => {
    expect(await bench.engine.check()).to.deep.equal({ ok: true });
    const config = {
      Entrypoint: ['httpd'],
      Cmd: ['-f', '-p', '9000', '-h', '/www'],
      ExposedPorts: { '9000/tcp': {} },
      Env: ['FROM_IMAGE=image', 'PATH=/bin'],
    };
    const www = [
      { path: 'www/index.html', content: 'hello\n' },
      { path: 'www/cgi-bin/who', content: WHO },
    ];
    writeLayout(join(bench.directory, 'image'), { layers: [busyboxLayer(), www], config });
    variant = await bench.deploy({ image: join(bench.directory, 'image') });
  });
  after(() => bench.close());

  it('is called, several at a time, with its own environment and that of the function', async () => {
    const env = { GREETING: `it's "$HOME" \n\\` };
    const sandbox = await bench.run(variant, { env, concurrency: 2 });
    const answers = await Promise.all([1, 2, 3].map(() => call(sandbox, { method: 'GET', path: '/' })));
    for (const { status, headers, body } of answers)
      expect([status, headers['content-type'], body.toString()]).to.deep.equal([200, 'text/html', 'hello\n']);
    const { body } = await call(sandbox, { method: 'GET', path: '/cgi-bin/who' });
    expect(body.toString()).to.equal(`${env.GREETING}/image\n`);
    expect((await call(sandbox, { method: 'GET', path: '/none' })).status).to.equal(404);
    expect(sandbox.inFlight).to.equal(0);
    await sandbox.kill();
  });

  it('keeps secrets out of arguments and of what others may read', async () => {
    const sandbox = await bench.run(variant, { env: { SECRET: 'a-secret' } });
    const run = join(bench.directory, 'run', sandbox.id);
    expect(readFileSync(join(run, 'config.json'), 'utf8')).to.not.contain('a-secret');
    expect(statSync(run).mode & 0o077).to.equal(0);
    for (const pid of readdirSync('/proc').filter(
      (name) => /^\d+$/.test(name) && name !== `${process.pid}`,
    )) {
      try {
        expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).to.not.contain('a-secret');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      }
    }
    await sandbox.kill();
  });

  it('leaves nothing behind: processes, folders, groups in any hierarchy', async () => {
    const sandbox = await bench.run(variant);
    await sandbox.kill();
    expect((await sandbox.exited).cause).to.equal('killed');
    expect(existsSync(join(bench.directory, 'run', sandbox.id))).to.equal(false);
    const root = sandbox.cgroup.joinPaths[0]!.split('/').at(-3)!;
    for (const hierarchy of readdirSync('/sys/fs/cgroup')) {
      const group = join('/sys/fs/cgroup', hierarchy, root, sandbox.id);
      expect(existsSync(group), group).to.equal(false);
    }
  });

  it('says why a server does not come up', async () => {
    const folder = join(bench.directory, 'quitter');
    writeLayout(folder, {
      layers: [busyboxLayer()],
      config: { Cmd: ['sh', '-c', 'echo no config >&2; exit 3'] },
    });
    const quitter = await bench.deploy({ image: folder });
    const error = await errorOf(bench.run(quitter));
    expect([
      error.code,
      error.message.includes('exit code 3'),
      error.ownersMessage.includes('no config'),
    ]).to.deep.equal(['FUNCTION_LOAD', true, true]);
  });
});

/** Says goodbye to its first connection, as servers do whose client asks nothing for a minute; or accepts none at all. */
const SERVER = `
  import { createServer } from 'node:http';
  const server = createServer((request, response) => response.end('served'));
  let first = true;
  server.prependListener('connection', (socket) => {
    if (!first) return;
    first = false;
    socket.end('HTTP/1.1 408 Request Timeout\\r\\nConnection: close\\r\\n\\r\\n');
    socket.once('finish', () => console.log('gone'));
  });
  const deaf = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  server.listen(process.env.PORT, process.env.DEAF && deaf);`;

describe('an image with node and a handler', () => {
  const bench = new OciBench();
  let variant: string;

  before(async function () {
    this.timeout(60_000);
    const layers = [
      nodeLayer(),
      busyboxLayer(),
      [
        { path: 'app/index.mjs', content: EVALUATOR, mode: 0o600 },
        { path: 'app/server.mjs', content: SERVER },
      ],
    ];
    const config = { Cmd: ['node', '/app/server.mjs'] };
    writeLayout(join(bench.directory, 'image'), { layers, config });
    variant = await bench.deploy({ image: join(bench.directory, 'image'), handler: '/app/index.mjs' });
  });
  after(() => bench.close());

  it('may also be a server: it ends before its first call, or hangs up while it waits for that, and nobody is hurt', async () => {
    const server = await bench.deploy({ image: join(bench.directory, 'image') });
    // What nobody has accepted is reset.
    const deaf = await bench.run(server, { env: { DEAF: '1' } });
    await deaf.kill();
    await deaf.exited;
    const sandbox = await bench.run(server);
    await until(() => bench.logs.some(({ text }) => text === 'gone'));
    expect((await call(sandbox, { method: 'POST' })).body.toString()).to.equal('served');
    await sandbox.kill();
  });

  it('is accounted, capped and frozen in its group like any other', async () => {
    const other = await bench.run(variant);
    const throttle = new CgroupThrottle(other.cgroup.handle);
    try {
      const spin = `const end = Date.now() + 150; while (Date.now() < end); return 'spun'`;
      expect(await attempt(other, spin)).to.deep.equal({ value: 'spun' });
      const usedNs = throttle.readCpuNs();
      expect(usedNs).to.be.greaterThan(20_000_000);
      expect(other.cgroup.usage().memoryBytes).to.be.greaterThan(1 << 20);
      expect(throttle.setQuotaRatio(0.1) && throttle.setQuotaRatio(null)).to.equal(true);
      expect(throttle.freeze()).to.equal(true);
      const late = attempt(other, `return 'thawed'`);
      // What is frozen does not answer.
      const first = await Promise.race([late, letTimePass(100, 'frozen')]);
      expect(first).to.equal('frozen');
      throttle.thaw();
      expect(await late).to.deep.equal({ value: 'thawed' });
    } finally {
      throttle.thaw();
      throttle.close();
      await other.kill();
    }
  });

  itHoldsAgainstEscapes({
    run: ({ group: _, ...options } = {}) => bench.run(variant, options),
    codePaths: ['/app/index.mjs', '/.nemo/runner/main.js', '/usr/bin/node'],
    native: true,
    nativeAnswers: CONTAINER_ANSWERS,
    uids: [OCI.firstUid, SANDBOX.uidCount],
  });
});
