import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { NemoError } from '../../../src/model/errors.js';
import type { Sandbox } from '../../../src/sandbox/engine.js';
import { ask, call, errorOf, SandboxBench } from '../../support/sandboxes.js';
import { until } from '../../support/waiting.js';

describe('a function that fails in its sandbox', () => {
  const bench = new SandboxBench();
  after(() => bench.close());

  describe('while it is loaded', () => {
    async function loadError(code: string): Promise<{ error: NemoError; sandbox: Sandbox }> {
      const sandbox = await bench.start();
      const error = await errorOf(bench.load(sandbox, code));
      await sandbox.exited;
      return { error, sandbox };
    }

    it('says that it does not parse', async () => {
      const { error } = await loadError('const a = 1;\nexport default ( => a;');
      expect(error).to.include({ code: 'BAD_FUNCTION' });
      expect(error.message).to.include('SyntaxError');
    });
    it('says that there is no handler', async () => {
      for (const code of [
        'export const x = 1;',
        'export default 7;',
        'export default null;',
        'export default {};',
      ]) {
        const { error } = await loadError(code);
        expect(error, code).to.include({ code: 'BAD_FUNCTION' });
        expect(error.hint, code).to.include('export default');
      }
    });
    it('says what it threw, and where', async () => {
      const { error } = await loadError('\nthrow new RangeError("too far");');
      expect(error).to.include({ code: 'FUNCTION_LOAD' });
      expect(error.message).to.include('RangeError: too far');
      expect(error.details?.stack).to.include('function.mjs:2');
    });
    it('says what it cannot import', async () => {
      const { error } = await loadError('import x from "left-pad"; export default () => x;');
      expect(error).to.include({ code: 'FUNCTION_LOAD' });
      expect(error.message).to.include('left-pad');
    });
    it('says that it ended its process', async () => {
      const { error } = await loadError('process.exit(3);');
      expect(error).to.include({ code: 'FUNCTION_LOAD' });
      expect(error.message).to.include('exit code 3');
    });
    it('is out of memory', async () => {
      const { error } = await loadError('const all = []; for (;;) all.push(new Array(100_000).fill(7));');
      expect(error).to.include({ code: 'FUNCTION_OOM' });
    });
    it('leaves no sandbox behind', async () => {
      const { sandbox } = await loadError('setInterval(() => {}, 1000); throw 1;');
      expect(existsSync(`/proc/${sandbox.pid}`)).to.equal(false);
      expect(bench.driver.list()).to.not.include(sandbox.id);
    });
    it('has a bundle that is not there', async () => {
      const sandbox = await bench.start();
      const error = await errorOf(bench.load(sandbox, '', { bundlePath: '/var/tmp/nemo-nowhere.mjs' }));
      expect(error).to.include({ code: 'FUNCTION_LOAD' });
      expect(error.message).to.include('/var/tmp/nemo-nowhere.mjs');
    });
  });

  it('throws, at once or later, and serves the next call', async () => {
    const sandbox = await bench.run(`export default (event) => {
      if (event === 1) throw new TypeError('at once');
      if (event === 2) return Promise.reject(new TypeError('later'));
      if (event === 3) throw 'just text';
      if (event === 4) throw { get message() { throw new Error('hidden'); } };
      if (event === 5) return () => {};
      if (event === 6) { const loop = {}; loop.loop = loop; return loop; }
      if (event === 7) return (async function* () { yield 'a'; throw new Error('in the stream'); })();
      if (event === 8) return 10n;
      return 'fine';
    }`);
    for (const [event, text] of [
      [1, 'TypeError: at once'],
      [2, 'TypeError: later'],
      [3, 'just text'],
      [4, 'cannot be shown'],
      [5, 'returned a function'],
      [6, 'circular'],
      [7, 'in the stream'],
      [8, 'BigInt'],
    ] as const) {
      const error = await errorOf(ask(sandbox, event));
      expect(error, text).to.include({ code: 'FUNCTION_ERROR', httpStatus: 500 });
      expect(error.message).to.include(text);
    }
    const { details } = await errorOf(ask(sandbox, 1));
    expect(details).to.include({ name: 'TypeError' });
    expect(details?.stack).to.match(/function\.mjs:\d+:\d+/);
    expect((await call(sandbox)).body.toString()).to.equal('fine');
  });

  it('answers with more than may be sent at once', async () => {
    const sandbox = await bench.run('export default () => Buffer.alloc(9_000_000)');
    expect(await errorOf(call(sandbox))).to.include({ code: 'BODY_TOO_LARGE' });
  });

  it('never returns: ends with the error that its caller gives', async () => {
    const sandbox = await bench.run(
      'export default (event) => { if (event) for (;;); return new Promise(() => {}); }',
    );
    const waiting = errorOf(ask(sandbox));
    const behind = errorOf(ask(sandbox, 1));
    const reason = new NemoError('FUNCTION_TIMEOUT', 'probe did not answer within 1 s');
    await sandbox.kill(reason);
    expect(await waiting).to.equal(reason);
    expect(await behind).to.equal(reason);
    expect(await errorOf(ask(sandbox))).to.equal(reason);
    expect((await sandbox.exited).cause).to.equal('killed');

    const spinning = await bench.run('export default () => { console.log("here"); for (;;); }');
    const error = errorOf(call(spinning));
    await until(() => bench.logs.some((line) => line.sandboxId === spinning.id));
    await spinning.kill();
    expect(await error).to.include({ code: 'FUNCTION_EXIT' });
  });

  it('allocates without end, in the heap and outside', async () => {
    for (const code of [
      'export default () => { const all = []; for (;;) all.push(new Array(100_000).fill(7)); }',
      'export default () => { const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1)); }',
    ]) {
      const sandbox = await bench.run(code, { memoryBytes: 96 * 1024 * 1024 });
      const error = await errorOf(call(sandbox));
      expect(error).to.include({ code: 'FUNCTION_OOM' });
      expect(error.message).to.include('probe used more memory');
      expect(await sandbox.exited).to.include({ cause: 'oom', signal: 'SIGKILL' });
      expect(await errorOf(call(sandbox)), 'a call that comes late').to.include({ code: 'FUNCTION_OOM' });
    }
  });

  it('ends its process: the running call is told from the one behind it', async () => {
    const sandbox = await bench.run('export default () => { console.error("last words"); process.exit(9); }');
    const [running, waiting] = await Promise.all([errorOf(call(sandbox)), errorOf(call(sandbox))]);
    expect(running).to.include({ code: 'FUNCTION_EXIT', httpStatus: 502 });
    expect(running.message).to.include('exit code 9').and.not.include('last words');
    expect(running.ownersMessage).to.include('last words');
    expect(running.details).to.include({ started: true });
    expect(waiting.details).to.include({ started: false });
    expect(await sandbox.exited).to.deep.include({
      cause: 'exited',
      exitCode: 9,
      signal: null,
      stderrTail: 'last words\n',
    });
    expect(await errorOf(call(sandbox))).to.include({ code: 'FUNCTION_EXIT' });
  });

  it('is ended by a signal of its own', async () => {
    const sandbox = await bench.run(
      'export default () => { process.kill(process.pid, "SIGSEGV"); return new Promise(() => {}); }',
    );
    expect(await errorOf(call(sandbox))).to.include({ code: 'FUNCTION_EXIT' });
    expect(await sandbox.exited).to.include({ cause: 'crashed', signal: 'SIGSEGV' });
  });

  it('leaves an error unhandled: its running call gets it, and the process ends', async () => {
    for (const raise of [
      'setImmediate(() => { throw new Error("nobody"); })',
      'void Promise.reject(new Error("nobody"))',
    ]) {
      const sandbox = await bench.run(`export default () => { ${raise}; return new Promise(() => {}); }`);
      const error = await errorOf(call(sandbox));
      expect(error).to.include({ code: 'FUNCTION_ERROR' });
      expect(error.message).to.include('nobody');
      expect(await sandbox.exited).to.deep.include({ cause: 'exited', exitCode: 70 });
    }
  });

  it('closes its own socket', async () => {
    const sandbox = await bench.run(
      'import fs from "node:fs"; export default () => { fs.closeSync(3); return new Promise(() => setInterval(() => {}, 1000)); }',
    );
    expect(await errorOf(call(sandbox))).to.include({ code: 'FUNCTION_EXIT' });
    await sandbox.exited;
  });

  it('writes garbage and forged answers to its socket: only its own calls suffer', async () => {
    const sandbox = await bench.run(
      'import fs from "node:fs"; export default () => { fs.writeSync(3, Buffer.alloc(64, 255)); return 1; }',
    );
    const error = await errorOf(call(sandbox));
    expect(error).to.include({ code: 'FUNCTION_EXIT' });
    expect(error.message).to.include('a frame claims');
    await sandbox.exited;
  });

  it('forks beyond its limit of processes, and is still there', async () => {
    const sandbox = await bench.run(
      `import { spawn } from 'node:child_process';
       export default async () => {
         const results = await Promise.all(Array.from({ length: 60 }, () => new Promise((resolve) => {
           try {
             const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
             child.on('error', (error) => resolve(error.code));
             child.on('spawn', () => resolve('started'));
           } catch (error) { resolve(error.code); }
         })));
         return results.filter((result) => result !== 'started').length;
       }`,
      { pidsMax: 24, memoryBytes: 512 * 1024 * 1024 },
    );
    const refused = await ask(sandbox);
    expect(refused).to.be.greaterThan(0);
    expect(sandbox.cgroup.usage().pids).to.be.at.most(24);
    await sandbox.kill();
    expect(bench.driver.list()).to.not.include(sandbox.id);
  });

  it('writes to disk: nowhere but to a small private /tmp', async () => {
    const sandbox = await bench.run(`
      import fs from 'node:fs';
      const attempt = (path) => { try { fs.writeFileSync(path, 'x'); return 'written'; } catch (error) { return error.code; } };
      export default () => {
        const result = Object.fromEntries(['/x', '/usr/bin/node', '/runner/main.js', '/function/function.mjs',
          '/function/new', '/dev/x', '/proc/sys/kernel/hostname', '/etc/passwd', '/etc/hosts', '/tmp/x'].map((path) => [path, attempt(path)]));
        let bytes = 0;
        try { for (const chunk = Buffer.alloc(1 << 20); bytes < 1 << 30; bytes += chunk.length) fs.appendFileSync('/tmp/big', chunk); }
        catch (error) { result.full = error.code; }
        return { ...result, megabytes: bytes >> 20 };
      }`);
    expect(await ask(sandbox)).to.deep.equal({
      '/x': 'EROFS',
      '/usr/bin/node': 'EROFS',
      '/runner/main.js': 'EROFS',
      '/function/function.mjs': 'EROFS',
      '/function/new': 'EROFS',
      '/dev/x': 'EROFS',
      '/proc/sys/kernel/hostname': 'EROFS',
      '/etc/passwd': 'EROFS',
      '/etc/hosts': 'EROFS',
      '/tmp/x': 'written',
      full: 'ENOSPC',
      megabytes: 15,
    });
  });

  it('breaks what its process shares with the runner, and still gets its answers out', async () => {
    const sandbox = await bench.run(`
      const broken = () => { throw new Error('broken'); };
      JSON.stringify = broken; JSON.parse = broken; Promise.prototype.then = broken; Promise.resolve = broken;
      Buffer.from = broken; Buffer.byteLength = broken; Buffer.prototype.utf8Write = broken;
      Uint8Array.prototype.set = broken; Uint8Array.prototype.subarray = broken; Set.prototype.add = broken;
      Set.prototype.delete = broken; performance.now = broken; Date.now = broken;
      Object.prototype.status = 500; Object.prototype.code = 'x';
      export default async (event) => ({ got: event });`);
    for (let i = 0; i < 3; i++) expect(await ask(sandbox, i)).to.deep.equal({ got: i });
  });

  it('prints a flood: lines are cut, dropped and counted, and the agent reads at its own pace', async () => {
    const sandbox = await bench.run(`export default (event) => {
      if (event === 'long') console.log('y'.repeat(100_000));
      else for (let i = 0; i < 20_000; i++) console.log('line ' + i);
      return new Promise((resolve) => process.stdout.write('', () => resolve(1)));
    }`);
    await call(sandbox, { headers: { 'content-type': 'text/plain' }, body: 'long' });
    await ask(sandbox);
    await sandbox.kill();
    const lines = bench.logs.filter((line) => line.sandboxId === sandbox.id).map((line) => line.text);
    expect(lines[0]).to.have.length(8_193).and.match(/^y+…$/);
    const dropped = lines
      .map((line) => Number(/^… (\d+) lines dropped/.exec(line)?.[1] ?? 0))
      .reduce((a, b) => a + b);
    const kept = lines.filter((line) => line.startsWith('line ')).length;
    expect(dropped).to.be.greaterThan(0);
    expect(kept + dropped).to.equal(20_000);
  });

  it('has a memory limit that is set before its code is loaded', async () => {
    const sandbox = await bench.run(
      'export default () => { globalThis.keep = Buffer.alloc(200 << 20, 1); return "enough"; }',
      {
        memoryBytes: 400 * 1024 * 1024,
      },
    );
    expect((await call(sandbox)).body.toString()).to.equal('enough');
  });
});
