import { expect } from 'chai';
import { NemoError } from '../../../src/model/errors.js';
import { ask, call, errorOf, SandboxBench } from '../../support/sandboxes.js';
import { until } from '../../support/waiting.js';

describe('a function in an isolate that fails', () => {
  const bench = new SandboxBench('isolate', { group: 'mine' });
  after(() => bench.close());

  it('throws, and serves on', async () => {
    const sandbox = await bench.run(
      `let n = 0; export default () => { if (n++ === 0) throw new TypeError('once'); return n }`,
    );
    const error = await errorOf(call(sandbox));
    expect([error.code, error.message]).to.deep.equal(['FUNCTION_ERROR', 'probe threw TypeError: once']);
    expect(await ask(sandbox)).to.equal(2);
  });

  it('loops without end: it is killed, and its neighbour answers meanwhile and after', async () => {
    const [endless, neighbour] = await Promise.all([
      bench.run('export default () => { for (;;); }'),
      bench.run('export default () => 1'),
    ]);
    const running = errorOf(call(endless!));
    expect(await ask(neighbour!)).to.equal(1);
    await endless!.kill(new NemoError('FUNCTION_TIMEOUT', 'too long'));
    expect((await running).code).to.equal('FUNCTION_TIMEOUT');
    expect(await ask(neighbour!)).to.equal(1);
  });

  it('is killed in a regular expression, and in a wait', async () => {
    for (const code of [
      `export default () => /^(a+)+$/.test('a'.repeat(40) + 'b')`,
      `export default () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)`,
    ]) {
      const sandbox = await bench.run(code);
      const running = errorOf(call(sandbox));
      await sandbox.kill(new NemoError('FUNCTION_TIMEOUT', 'too long'));
      expect((await running).code).to.equal('FUNCTION_TIMEOUT');
    }
  });

  it('is killed while its group is frozen', async () => {
    const sandbox = await bench.run('export default () => { for (;;); }');
    const running = errorOf(call(sandbox));
    const { freezePath, version } = sandbox.cgroup.handle;
    const { writeFileSync } = await import('node:fs');
    writeFileSync(freezePath!, version === 'v1' ? 'FROZEN' : '1');
    await sandbox.kill();
    expect((await running).code).to.equal('FUNCTION_EXIT');
  });

  it('takes more heap than its limit: it alone ends, with FUNCTION_OOM', async () => {
    const [greedy, neighbour] = await Promise.all([
      bench.run(
        `const all = []; export default () => { for (;;) all.push(new Array(1000).fill({ n: all.length })); }`,
        { memoryBytes: 64 * 2 ** 20 },
      ),
      bench.run('export default () => 1'),
    ]);
    expect((await errorOf(call(greedy!))).code).to.equal('FUNCTION_OOM');
    expect(await greedy!.exited).to.include({ cause: 'oom' });
    expect(await ask(neighbour!)).to.equal(1);
  });

  it('keeps more in buffers than its limit: it ends after that call', async () => {
    const greedy = await bench.run(
      `const all = []; export default async () => { all.push(Buffer.alloc(8 << 20, 1)); await new Promise((r) => setTimeout(r, 25)); return all.length }`,
      { memoryBytes: 64 * 2 ** 20 },
    );
    let error: NemoError | undefined;
    for (let i = 0; i < 20 && error === undefined; i++) {
      await call(greedy).catch((thrown: NemoError) => {
        error = thrown;
      });
    }
    // A call that came when it was ending goes elsewhere.
    expect(error?.code).to.be.oneOf(['FUNCTION_OOM', 'FUNCTION_EXIT']);
    expect((await greedy.exited).cause).to.equal('oom');
  });

  it('takes the memory of the whole process at once: other processes do not notice', async () => {
    const start = async (variant: string, code: string) => {
      const sandbox = await bench.start({ variant });
      await bench.load(sandbox, code);
      return sandbox;
    };
    const greedy = await start(
      'greedy',
      `export default () => { const all = []; for (;;) all.push(Buffer.alloc(32 << 20, 1)); }`,
    );
    const brother = await start('greedy', 'export default () => 1');
    const other = await start('other', 'export default () => 1');
    const error = await errorOf(call(greedy));
    expect(error.code).to.be.oneOf(['FUNCTION_OOM', 'FUNCTION_ERROR', 'FUNCTION_EXIT']);
    expect(await ask(other)).to.equal(1);
    await Promise.all([greedy.kill(), brother.kill()]);
    const again = await start('greedy', 'export default () => 1');
    expect(await ask(again)).to.equal(1);
  });

  it('prints without end: the flood is dropped, the call is answered', async () => {
    const sandbox = await bench.run(
      `export default () => { for (let i = 0; i < 50000; i++) console.log('x'.repeat(100)); return 1 }`,
    );
    expect(await ask(sandbox)).to.equal(1);
    await sandbox.kill();
  });

  it('leaves an error unhandled: its call fails with it, and it ends', async () => {
    const sandbox = await bench.run(
      `export default () => new Promise(() => setTimeout(() => { throw new Error('from a timer') }, 1))`,
    );
    expect((await errorOf(call(sandbox))).message).to.contain('from a timer');
    expect(await sandbox.exited).to.include({ cause: 'exited', exitCode: 70 });
  });

  it('ends its own thread in a call', async () => {
    const sandbox = await bench.run('export default () => process.exit(5)');
    const error = await errorOf(call(sandbox));
    expect([error.code, error.message]).to.deep.equal([
      'FUNCTION_EXIT',
      'the sandbox of probe ended with exit code 5',
    ]);
  });

  it('loses its process to a kill -9: its calls fail, and the next sandbox gets another process', async () => {
    const sandbox = await bench.run(`export default () => { console.log('begun'); for (;;); }`);
    const running = errorOf(call(sandbox));
    await until(() => bench.logs.some(({ text }) => text === 'begun'));
    process.kill(sandbox.pid, 'SIGKILL');
    const error = await running;
    expect([error.code, error.details?.started]).to.deep.equal(['FUNCTION_EXIT', true]);
    expect((await errorOf(call(sandbox))).details?.started).to.equal(false);
    await sandbox.exited;
    expect(await ask(await bench.run('export default () => 1'))).to.equal(1);
  });

  it('ends with the agent’s engine, whatever it does', async () => {
    const own = new SandboxBench('isolate', { group: 'mine' });
    const busy = await own.run('export default () => { for (;;); }');
    const running = errorOf(call(busy));
    await own.close();
    expect((await running).code).to.equal('FUNCTION_EXIT');
    expect(own.driver.list()).to.deep.equal([]);
  });
});
