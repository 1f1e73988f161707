import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { ask, call, errorOf, SandboxBench } from '../../support/sandboxes.js';
import { moduleOf } from '../../support/sources.js';
import { until } from '../../support/waiting.js';

describe('the isolate engine', () => {
  const bench = new SandboxBench('isolate', { group: 'mine' });
  after(() => bench.close());

  it('works here', async () => {
    expect(await (await bench.engine()).check()).to.deep.equal({ ok: true });
  });

  it('answers events and requests, streams, prints, and has its environment', async () => {
    const sandbox = await bench.run(
      `import { createHash } from 'node:crypto';
       export default async (event, context) => {
         console.log('got', event); console.error('second line');
         return { event, env: process.env.A, hash: createHash('sha256').update('x').digest('hex').length, name: context.functionName };
       }`,
      { env: { A: 'secret' } },
    );
    expect(await ask(sandbox, { n: 1 })).to.deep.equal({
      event: { n: 1 },
      env: 'secret',
      hash: 64,
      name: 'probe',
    });
    await until(() => bench.logs.length >= 2);
    expect(
      bench.logs
        .filter(({ sandboxId }) => sandboxId === sandbox.id)
        .map(({ stream, text }) => [stream, text]),
    ).to.deep.equal([
      ['stdout', 'got { n: 1 }'],
      ['stderr', 'second line'],
    ]);
    const fetch = await bench.run(
      `export default { fetch: async (request) => new Response(await request.text() + '!', { status: 201, headers: { a: 'b' } }) }`,
    );
    const answer = await call(fetch, { method: 'POST', body: 'hi' });
    expect([answer.status, answer.headers.a, answer.body.toString()]).to.deep.equal([201, 'b', 'hi!']);
    const stream = await bench.run(`export default async function* () { yield 'a'; yield 'b'; }`);
    expect((await call(stream)).body.toString()).to.equal('ab');
  });

  it('takes and gives more than a socket holds, whole and in pieces', async () => {
    const sandbox = await bench.run(
      `export default async function (event) {
         if (event !== null) return Buffer.concat([event, event.subarray(0, 1 << 20)]);
         return (async function* () { for (let i = 0; i < 32; i++) yield Buffer.alloc(1 << 19, i) })();
       }`,
    );
    const sent = randomBytes(5 << 20);
    const { body } = await call(sandbox, { body: sent });
    expect(body.equals(Buffer.concat([sent, sent.subarray(0, 1 << 20)]))).to.equal(true);
    const streamed = await call(sandbox, { headers: { 'content-type': 'text/plain' }, body: '' });
    expect(streamed.body).to.have.length(16 << 20);
    expect([streamed.body[0], streamed.body.at(-1)]).to.deep.equal([0, 31]);
  });

  it('shares one process between functions of a group, and none otherwise', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => bench.start({ variant: 'me' })));
    expect(one!.pid).to.equal(two!.pid);
    const others = [await bench.start({ variant: 'you' })];
    for (let i = 0; i < 2; i++) others.push(await bench.start({ variant: '' }));
    expect(new Set([one!, ...others].map(({ pid }) => pid)).size).to.equal(4);
  });

  it('gives a process that was started for nobody to one function, and ends it with that', async () => {
    const sandbox = await bench.start({ variant: '' });
    await bench.load(sandbox, 'export default () => 1');
    expect(await ask(sandbox)).to.equal(1);
    expect((await errorOf(bench.load(sandbox, 'export default () => 2'))).code).to.equal('INTERNAL');
    await sandbox.kill();
    await until(() => !existsSync(`/proc/${sandbox.pid}`));
    expect(await ask(await bench.run('export default () => 3', { variant: '' }))).to.equal(3);
  });

  it('has its thread, and only that, in its own group, at SCHED_IDLE when asked', async () => {
    const sandbox = await bench.start({ scheduling: 'idle' });
    await bench.load(
      sandbox,
      // Some 100 ms of work, however long it takes.
      `export default () => { let x = 0; while (x < 1e8) x++; return x }`,
    );
    expect(sandbox.cgroup.usage().pids).to.equal(1);
    const before = sandbox.cgroup.usage().cpuNs;
    await ask(sandbox);
    expect(sandbox.cgroup.usage().cpuNs - before).to.be.greaterThan(10_000_000);
    const tasks = readFileSync(join(dirname(sandbox.cgroup.handle.cpuUsagePath), 'tasks'), 'utf8').trim();
    const stat = readFileSync(`/proc/${tasks}/stat`, 'utf8').split(') ')[1]!.split(' ');
    expect(stat[38]).to.equal('5');
  });

  it('ends alone, and leaves nothing behind', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => bench.run('export default () => 1')));
    const running = call(one!, { path: '/' }).catch((error) => error);
    await running;
    await one!.kill();
    expect(await one!.exited).to.include({ cause: 'killed' });
    expect(bench.driver.list()).to.not.include(one!.id);
    expect(await ask(two!)).to.equal(1);
    expect((await errorOf(call(one!))).details).to.include({ started: false });
  });

  it('gives a function of another memory limit a thread of its own', async () => {
    const sandbox = await bench.run(
      `export default () => { const all = []; for (let i = 0; i < 180; i++) all.push(new Array(131072).fill(i)); return all.length }`,
      { memoryBytes: 400 * 2 ** 20 },
    );
    expect(await ask(sandbox)).to.equal(180);
  });

  it('refuses modules at deploy that an isolate does not have, naming them', async () => {
    const engine = await bench.engine();
    const prepare = (code: string) => engine.prepare({ functionName: 'f', source: moduleOf(code) });
    const error = await errorOf(prepare("import fs from 'node:fs'; export default () => fs;"));
    expect([error.code, error.message]).to.deep.equal([
      'BAD_FUNCTION',
      "f.ts: 'node:fs' cannot be imported in an isolate: it has no files, network, processes or threads",
    ]);
    expect(`${await prepare("import { inspect } from 'util'; export default () => inspect;")}`).to.contain(
      'inspect',
    );
    expect((await errorOf(prepare('export default () => {'))).code).to.equal('BAD_FUNCTION');
  });

  it('says what is wrong with code that does not load', async () => {
    const load = (code: string) => errorOf(bench.run(code));
    expect((await load('export const a = 1;')).code).to.equal('BAD_FUNCTION');
    expect((await load('export default (')).code).to.equal('BAD_FUNCTION');
    expect((await load("throw new Error('at the top')")).message).to.contain('at the top');
  });

  it('takes what the bundler makes of CommonJS dependencies', async () => {
    const engine = await bench.engine();
    const source =
      "const { join } = require('path'); module.exports = { default: () => join('a', 'b'), __esModule: true };";
    const content = await engine.prepare({ functionName: 'f', source: moduleOf(source, 'f.js') });
    expect((await call(await bench.run(content))).body.toString()).to.equal('a/b');
  });
});
