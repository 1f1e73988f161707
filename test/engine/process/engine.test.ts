import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { bundleFunction } from '../../../src/bundle/bundle.js';
import type { Sandbox } from '../../../src/sandbox/engine.js';
import { ask, call, errorOf, json, SandboxBench } from '../../support/sandboxes.js';

describe('a function in a sandbox of the process engine', () => {
  const bench = new SandboxBench();
  after(() => bench.close());

  it('can be started here', async () => {
    expect(await (await bench.engine()).check()).to.deep.equal({ ok: true });
  });

  describe('called with an event', () => {
    let sandbox: Sandbox;
    before(async () => {
      sandbox = await bench.run(
        `export default async (event, context) => ({
        type: event === null ? 'null' : Buffer.isBuffer(event) ? 'buffer' : typeof event,
        event: Buffer.isBuffer(event) ? event.toString('hex') : event,
        context: { ...context, remaining: context.remainingTimeMs(), aborted: context.signal.aborted },
        now: Date.now(), secret: process.env.SECRET,
      })`,
        { env: { SECRET: 'of mine' } },
      );
    });

    it('gets parsed JSON, text, bytes or null by the content type', async () => {
      const typed = async (type: string | undefined, body: Buffer | string) => {
        const answer = await call(sandbox, {
          headers: type === undefined ? {} : { 'content-type': type },
          body,
        });
        const { type: kind, event } = JSON.parse(answer.body.toString()) as { type: string; event: unknown };
        return [kind, event];
      };
      expect(await typed('application/json', '{"a":[1]}')).to.deep.equal(['object', { a: [1] }]);
      expect(await typed('application/ld+json; charset=utf-8', '"x"')).to.deep.equal(['string', 'x']);
      expect(await typed('text/plain', 'grüße')).to.deep.equal(['string', 'grüße']);
      expect(await typed('image/png', Buffer.from([1, 0, 255]))).to.deep.equal(['buffer', '0100ff']);
      expect(await typed(undefined, 'x')).to.deep.equal(['buffer', '78']);
      expect(await typed('application/json', '')).to.deep.equal(['null', null]);
    });

    it('gets a context with the call and its deadline', async () => {
      const answer = await call(
        sandbox,
        { callId: 'c-7', method: 'PUT', path: '/a/b', query: 'x=1&y', headers: { 'x-one': '1' } },
        performance.now() + 5_000,
      );
      const { context, now, secret } = JSON.parse(answer.body.toString()) as {
        context: Record<string, unknown> & { deadlineMs: number; remaining: number };
        now: number;
        secret: string;
      };
      expect(context).to.include({
        functionName: 'probe',
        callId: 'c-7',
        method: 'PUT',
        path: '/a/b',
        query: 'x=1&y',
      });
      expect(context.headers).to.deep.equal({ 'x-one': '1' });
      expect(context.aborted).to.equal(false);
      expect(context.deadlineMs - now).to.be.within(1, 5_000);
      expect(context.remaining).to.be.within(1, 5_000);
      expect(secret).to.equal('of mine');
    });

    it('is not called with JSON that does not parse', async () => {
      const error = await errorOf(
        call(sandbox, { headers: { 'content-type': 'application/json' }, body: '{"a":' }),
      );
      expect(error).to.include({ code: 'BAD_REQUEST', httpStatus: 400 });
      expect(error.message).to.include('not valid JSON');
    });
  });

  it('answers with what its value is', async () => {
    const sandbox = await bench.run(`
      const values = {
        nothing: undefined, null: null, text: 'grüße', bytes: Buffer.from([1, 2]), floats: new Float32Array([1]),
        object: { a: 1 }, list: [1], number: 0, yes: true, buffer: new ArrayBuffer(3),
      };
      export default (name) => values[name];`);
    const got = async (name: string) => {
      const { status, headers, body } = await call(sandbox, {
        headers: { 'content-type': 'text/plain' },
        body: name,
      });
      expect(status).to.equal(200);
      expect(headers['content-length']).to.equal(`${body.length}`);
      return [headers['content-type'], body.toString('latin1')];
    };
    expect(await got('nothing')).to.deep.equal([undefined, '']);
    expect(await got('null')).to.deep.equal([undefined, '']);
    expect(await got('text')).to.deep.equal([
      'text/plain; charset=utf-8',
      Buffer.from('grüße').toString('latin1'),
    ]);
    expect(await got('bytes')).to.deep.equal(['application/octet-stream', '\x01\x02']);
    expect(await got('floats')).to.deep.equal(['application/octet-stream', '\x00\x00\x80\x3f']);
    expect(await got('buffer')).to.deep.equal(['application/octet-stream', '\0\0\0']);
    expect(await got('object')).to.deep.equal(['application/json', '{"a":1}']);
    expect(await got('list')).to.deep.equal(['application/json', '[1]']);
    expect(await got('number')).to.deep.equal(['application/json', '0']);
    expect(await got('yes')).to.deep.equal(['application/json', 'true']);
  });

  it('carries 6 MB both ways without changing a byte', async () => {
    const sandbox = await bench.run('export default (event) => event', { memoryBytes: 256 * 1024 * 1024 });
    const body = Buffer.alloc(6 * 1024 * 1024);
    for (let i = 0; i < body.length; i += 4) body.writeUInt32LE((i * 2_654_435_761) >>> 0, i);
    const answer = await call(sandbox, { headers: { 'content-type': 'application/octet-stream' }, body });
    expect(answer.body.equals(body)).to.equal(true);
  });

  it('streams an async iterable of more than its memory: a chunk waits for the one before', async () => {
    const sandbox = await bench.run(`
      export default async function* () {
        for (let i = 0; i < 1500; i++) yield i % 2 ? Buffer.alloc(100_000, i) : 'x'.repeat(100_000);
      }`);
    const answer = await call(sandbox);
    expect(answer.headers).to.deep.equal({ 'content-type': 'application/octet-stream' });
    expect(answer.body).to.have.length(1500 * 100_000);
    expect(answer.body[100_000]).to.equal(1);
    expect(sandbox.cgroup.oomKills()).to.equal(0);
  });

  describe('in fetch style', () => {
    let sandbox: Sandbox;
    before(async () => {
      sandbox = await bench.run(`export default {
        prefix: 'got ',
        async fetch(request, context) {
          const url = new URL(request.url);
          if (url.pathname === '/stream') {
            return new Response(new ReadableStream({
              async pull(controller) {
                this.n = (this.n ?? 0) + 1;
                controller.enqueue(new TextEncoder().encode('part ' + this.n + ';'));
                if (this.n === 3) controller.close();
              },
            }), { status: 201, headers: { 'x-kind': 'stream' } });
          }
          if (url.pathname === '/empty') return new Response(null, { status: 204 });
          return Response.json({ text: this.prefix + await request.text(), method: request.method,
            search: url.search, one: request.headers.get('x-one'), callId: context.callId });
        } }`);
    });

    it('gets a Request and answers with a Response', async () => {
      const answer = await call(sandbox, {
        path: '/p',
        query: 'q=1',
        headers: { 'x-one': '1', host: 'nemo.test' },
        body: 'hi',
      });
      expect(answer.headers['content-type']).to.equal('application/json');
      expect(JSON.parse(answer.body.toString())).to.deep.equal({
        text: 'got hi',
        method: 'POST',
        search: '?q=1',
        one: '1',
        callId: 'call-1',
      });
    });
    it('streams its body, with status and headers', async () => {
      const answer = await call(sandbox, { path: '/stream', method: 'GET' });
      expect(answer).to.include({ status: 201 });
      expect(answer.headers).to.include({ 'x-kind': 'stream' });
      expect(answer.body.toString()).to.equal('part 1;part 2;part 3;');
      expect(answer.chunks).to.equal(3);
    });
    it('may have no body', async () => {
      const answer = await call(sandbox, { path: '/empty', method: 'GET' });
      expect(answer.status).to.equal(204);
      expect(answer.body).to.have.length(0);
    });
  });

  it('runs calls in order, as many at a time as its concurrency', async () => {
    const code = `
      let running = 0; let order = 0;
      export default async (event) => {
        const started = order++; const together = ++running;
        await new Promise((resolve) => setImmediate(resolve));
        await null;
        running--;
        return { event, started, together };
      }`;
    for (const concurrency of [1, 3]) {
      const sandbox = await bench.run(code, { concurrency });
      const answers = (await Promise.all(
        Array.from({ length: 20 }, (_, i) => ask(sandbox, i + 1)),
      )) as Array<{
        event: number;
        started: number;
        together: number;
      }>;
      for (const { event, started } of answers) expect(started).to.equal(event - 1);
      expect(Math.max(...answers.map((answer) => answer.together))).to.equal(concurrency);
    }
  });

  it('prints lines that arrive with their stream', async () => {
    const sandbox = await bench.run(
      `export default () => { console.log('to out\\nsecond'); console.error('to err'); }`,
    );
    await call(sandbox);
    await sandbox.kill();
    const lines = bench.logs.filter((line) => line.sandboxId === sandbox.id);
    expect(lines.filter((line) => line.stream === 'stdout').map((line) => line.text)).to.deep.equal([
      'to out',
      'second',
    ]);
    expect(lines.filter((line) => line.stream === 'stderr').map((line) => line.text)).to.deep.equal([
      'to err',
    ]);
    expect(lines[0]!.timeMs).to.be.closeTo(Date.now(), 60_000);
  });

  it('runs every thread at SCHED_IDLE, in its cgroup, from the start', async () => {
    const sandbox = await bench.start({ scheduling: 'idle' });
    await bench.load(
      sandbox,
      `
      import { readdirSync, readFileSync } from 'node:fs';
      import { execFileSync } from 'node:child_process';
      const policyOf = (path) => readFileSync(path, 'latin1').split(') ')[1].split(' ')[38];
      export default () => [...new Set(readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).flatMap((pid) =>
        readdirSync('/proc/' + pid + '/task').map((tid) => policyOf('/proc/' + pid + '/task/' + tid + '/stat'))))]`,
    );
    expect(await ask(sandbox)).to.deep.equal(['5']);
    expect(sandbox.cgroup.usage().pids).to.be.greaterThan(5);
    for (const path of sandbox.cgroup.joinPaths) {
      expect(readFileSync(path, 'utf8').split('\n'), path).to.include(`${sandbox.pid}`);
    }
  });

  it('leaves nothing behind when it ends', async () => {
    const sandbox = await bench.run('export default () => 1');
    const directory = join(bench.directory, 'sandboxes', 'process', sandbox.id);
    expect(existsSync(directory)).to.equal(true);
    await sandbox.kill();
    expect(await sandbox.exited).to.include({ cause: 'killed' });
    expect(existsSync(directory)).to.equal(false);
    expect(existsSync(`/proc/${sandbox.pid}`)).to.equal(false);
    expect(bench.driver.list()).to.not.include(sandbox.id);
  });

  describe('from samples/', () => {
    const sample = async (name: string) => (await bundleFunction(join('samples', `${name}.ts`))).code;
    it('hello, noop and cpu', async () => {
      expect(await ask(await bench.run(await sample('hello')), { name: 'Ada' })).to.deep.equal({
        hello: 'Ada',
      });
      expect((await call(await bench.run(await sample('noop')))).body).to.have.length(0);
      const cpu = await bench.run(await sample('cpu'));
      const before = cpu.cgroup.usage().cpuNs;
      expect(JSON.parse((await call(cpu, { query: 'ms=30' })).body.toString())).to.include({ ms: 30 });
      expect(cpu.cgroup.usage().cpuNs - before).to.be.greaterThan(30_000_000);
    });
    it('echo-fetch and markdown', async () => {
      const echo = await bench.run(await sample('echo-fetch'));
      expect((await call(echo, json({ a: 1 }))).body.toString()).to.equal('{"a":1}');
      const markdown = await bench.run(await sample('markdown'));
      const answer = await call(markdown, {
        headers: { 'content-type': 'text/markdown' },
        body: '# A <b>\n- *x*',
      });
      expect(answer.body.toString()).to.equal('<h1>A &lt;b&gt;</h1>\n<ul>\n<li><em>x</em></li>\n</ul>');
      expect(answer.headers['content-type']).to.equal('text/html; charset=utf-8');
    });
  });
});
