/** Functions that misbehave in every way, in a real agent: each gets its own code, and the next call works. */

import { expect } from 'chai';
import { RealAgent } from '../support/real-agent.js';
import { letTimePass } from '../support/waiting.js';

describe('an agent with bad functions', function () {
  this.timeout(60_000);
  let agent: RealAgent;

  before(async () => {
    agent = await new RealAgent({ policy: 'naive', http: { functionsPort: 0 } }).start();
    await agent.deploy('good', 'export default (event) => ({ got: event });');
  });
  after(() => agent.close());

  afterEach('the box still works', async () => {
    expect(await agent.call('good', '1')).to.include({ status: 200 });
  });

  it('refuses one that does not parse, with the line', async () => {
    const reply = await agent.deploy('broken', 'export default () => {\n  return 1 +;\n};\n');
    expect(reply.status).to.equal(400);
    const { error } = (await reply.json()) as { error: { code: string; message: string } };
    expect(error.code).to.equal('BAD_FUNCTION');
    expect(error.message).to.match(/broken\.ts:2:/);
    expect((await agent.call('broken')).code).to.equal('NOT_FOUND');
  });

  it('refuses one without a handler', async () => {
    const reply = await agent.deploy('empty', 'export const nothing = 1;');
    if (reply.status < 400) expect((await agent.call('empty')).code).to.equal('BAD_FUNCTION');
    else expect(reply.status).to.equal(400);
  });

  it('answers 500 for one that throws, and its sandbox goes on', async () => {
    await agent.deploy(
      'throws',
      'let calls = 0; export default () => { calls++; throw new TypeError("no " + calls); };',
    );
    expect(await agent.call('throws')).to.include({ status: 500, code: 'FUNCTION_ERROR' });
    const second = await agent.call('throws');
    expect(second.body).to.include('no 2').and.not.include('/runner/');
    const lines = await agent.logs('throws');
    expect(lines).to.include('FUNCTION_ERROR: throws threw TypeError: no 1');
    expect(
      lines.find((line) => /^\s+at .*throws\.ts:1:\d+/.test(line)),
      lines.join('\n'),
    ).to.be.a('string');
  });

  it('says in its log why one cannot be loaded', async () => {
    await agent.deploy('five', 'export default 5;');
    expect(await agent.call('five')).to.include({ status: 400, code: 'BAD_FUNCTION' });
    expect((await agent.logs('five'))[0]).to.match(/^BAD_FUNCTION: five is not a function/);
  });

  it('answers 502 for one that throws while it is loaded, at once the second time', async () => {
    await agent.deploy('unloadable', 'throw new Error("not today"); export default () => 1;');
    expect(await agent.call('unloadable')).to.include({ status: 502, code: 'FUNCTION_LOAD' });
    expect(await agent.call('unloadable')).to.include({ status: 502, code: 'FUNCTION_LOAD' });
  });

  it('answers 504 for one that never returns, also in a loop', async () => {
    await agent.deploy('sleeps', 'export default () => new Promise(() => {});', { timeout: '300ms' });
    await agent.deploy('spins', 'export default () => { for (;;); };', { timeout: '300ms' });
    expect(await agent.call('sleeps')).to.include({ status: 504, code: 'FUNCTION_TIMEOUT' });
    expect(await agent.call('spins')).to.include({ status: 504, code: 'FUNCTION_TIMEOUT' });
  });

  it('answers 507 for one that allocates without end', async () => {
    const code = 'export default () => { const all = []; for (;;) all.push(Buffer.alloc(8e6, 1)); };';
    await agent.deploy('eats', code, { memory: '64Mi' });
    expect(await agent.call('eats')).to.include({ status: 507, code: 'FUNCTION_OOM' });
  });

  it('answers 502 for one that exits, and shows what it printed', async () => {
    await agent.deploy('exits', 'export default () => { console.log("last words"); process.exit(3); };');
    expect(await agent.call('exits')).to.include({ status: 502, code: 'FUNCTION_EXIT' });
    const logs = await (await agent.fetch('/v1/functions/exits/logs')).text();
    expect(logs).to.include('last words');
  });

  it('shows what a function printed that was ended for its time', async () => {
    const code = 'export default () => { console.log("still here"); for (;;); };';
    await agent.deploy('prints', code, { timeout: '300ms' });
    expect((await agent.call('prints')).code).to.equal('FUNCTION_TIMEOUT');
    await agent.until((frame) => frame.functions.find((fn) => fn.name === 'prints')?.inFlight === 0);
    expect(await (await agent.fetch('/v1/functions/prints/logs')).text()).to.include('still here');
  });

  it('holds one that forks without end to its processes', async () => {
    const code = `import { spawn } from 'node:child_process';
      export default async () => {
        let refused = 0;
        for (let i = 0; i < 200 && refused === 0; i++) {
          await new Promise((resolve) => {
            const child = spawn('/proc/self/exe', ['-e', 'setTimeout(() => {}, 60000)'], { stdio: 'ignore' });
            child.on('error', () => { refused++; resolve(); });
            child.on('spawn', resolve);
          });
        }
        return { refused };
      };`;
    await agent.deploy('forks', code, { timeout: '5s' });
    const { status, body } = await agent.call('forks');
    // The kernel says no at the limit of processes or of memory: either is held, and nothing else is touched.
    if (status === 200) expect(JSON.parse(body).refused).to.equal(1);
    else
      expect(JSON.parse(body).error.code).to.be.oneOf([
        'FUNCTION_OOM',
        'FUNCTION_EXIT',
        'FUNCTION_TIMEOUT',
        'FUNCTION_ERROR',
      ]);
    await agent.fetch('/v1/functions/forks', { method: 'DELETE' });
  });

  it('gives one that writes to disk its private /tmp and nothing else', async () => {
    const code = `import { writeFileSync } from 'node:fs';
      const attempt = (path) => { try { writeFileSync(path, 'x'); return 'written'; } catch (error) { return error.code; } };
      export default () => ['/tmp/x', '/x', '/etc/x', '/usr/x', '/function/x', '/dev/x'].map(attempt);`;
    await agent.deploy('writes', code);
    const answers = JSON.parse((await agent.call('writes')).body) as string[];
    expect(answers[0]).to.equal('written');
    expect(answers.slice(1)).to.not.include('written');
  });

  it('refuses a body that is too large with 413', async () => {
    expect(await agent.call('good', Buffer.alloc(7 * 1024 * 1024))).to.include({
      status: 413,
      code: 'BODY_TOO_LARGE',
    });
  });

  it('hands over several cookies, each as its own header', async () => {
    const code = `export default { fetch() {
      const headers = new Headers([['set-cookie', 'a=1; Path=/'], ['set-cookie', 'b=2, c']]);
      return new Response('ok', { headers });
    } };`;
    await agent.deploy('cookies', code);
    const reply = await fetch(`${agent.functionsUrl}/function/cookies`);
    expect(reply.headers.getSetCookie()).to.deep.equal(['a=1; Path=/', 'b=2, c']);
  });

  for (const kib of [256, 16, 3]) {
    it(`slows a function down to a slow reader, without keeping what it has not read (${kib} KiB each)`, async () => {
      const chunks = (99 * 1024) / kib;
      const code = `export default async function* () {
      for (let i = 0; i < ${chunks}; i++) yield Buffer.alloc(${kib} * 1024, i);
    }`;
      await agent.deploy('streams', code, { timeout: '50s' });
      await agent.call('good');
      const before = (await agent.status()).agent.memory.agentRssBytes;
      const reply = await agent.fetch('/function/streams');
      const reader = reply.body!.getReader();
      let bytes = (await reader.read()).value!.length;
      // A client that does not read: what the function makes meanwhile has to wait in the function.
      let most = 0;
      for (let looks = 0; looks < 40; looks++) {
        most = Math.max(most, (await agent.status()).agent.memory.agentRssBytes);
        await letTimePass(20);
      }
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        bytes += part.value.length;
        if (bytes % (10 * 1024 * 1024) < part.value.length) {
          most = Math.max(most, (await agent.status()).agent.memory.agentRssBytes);
        }
      }
      expect(bytes).to.equal(chunks * kib * 1024);
      expect(most - before).to.be.lessThan(40 * 1024 * 1024);
    });
  }

  for (const engine of ['process', 'isolate']) {
    it(`ends a stream without an end whose reader has left (${engine})`, async () => {
      const code = `let ended = 0;
        async function* endless() { try { for (;;) { yield 'x'; await new Promise((done) => setTimeout(done, 5)); } } finally { ended++; } }
        export default (_event, context) => context.path === '/ended' ? ended : endless();`;
      const name = `endless-${engine}`;
      await agent.deploy(name, code, { engine, timeout: '50s' });
      const leave = new AbortController();
      const reply = await agent.fetch(`/function/${name}`, { signal: leave.signal });
      await reply.body!.getReader().read();
      leave.abort();
      const { completed, failed } = (
        await agent.until(({ functions }) => functions.find((fn) => fn.name === name)?.inFlight === 0)
      ).functions.find((fn) => fn.name === name)!;
      expect([completed, failed]).to.deep.equal([1, 0]);
      expect(await (await agent.fetch(`/function/${name}/ended`)).text()).to.equal('1');
    });
  }

  it('puts a sandbox that was killed from outside in its place again', async () => {
    await agent.deploy(
      'victim',
      'export default () => new Promise((resolve) => setTimeout(resolve, 20_000));',
    );
    const called = agent.call('victim');
    const frame = await agent.until(
      (now) => now.functions.find((fn) => fn.name === 'victim')?.inFlight === 1,
    );
    const box = frame.functions
      .find((fn) => fn.name === 'victim')!
      .sandboxes.find((one) => one.state === 'busy')!;
    process.kill(box.pid, 'SIGKILL');
    expect(await called).to.include({ status: 502, code: 'FUNCTION_EXIT' });
    await agent.deploy('victim', 'export default () => "well";');
    expect(await agent.call('victim')).to.include({ status: 200, body: 'well' });
    await agent.until(
      (now) => (now.functions.find((fn) => fn.name === 'victim')?.sandboxes ?? []).length > 0,
    );
  });
});
