import { expect } from 'chai';
import type { Sandbox } from '../../../src/sandbox/engine.js';
import { ISOLATE } from '../../../src/tunables.js';
import { attempt as attemptIn, EVALUATOR, itHoldsAgainstEscapes } from '../../support/escapes.js';
import { call, errorOf, SandboxBench } from '../../support/sandboxes.js';

describe('a function in an isolate that tries to get out', () => {
  const bench = new SandboxBench('isolate');
  let sandbox: Sandbox;
  const attempt = (code: string, of = sandbox) => attemptIn(of, code);

  before(async () => {
    sandbox = await bench.run(EVALUATOR, { env: { SECRET: 'a-secret-of-the-first' } });
  });
  after(() => bench.close());

  itHoldsAgainstEscapes({
    run: ({ owner = '', ...options } = {}) =>
      bench.run(EVALUATOR, { variant: bench.variantFor(owner), ...options }),
    codePaths: ['/function/function.mjs', '/runner/main.js', '/usr/bin/node'],
    native: false,
    uids: [ISOLATE.firstUid, ISOLATE.uidCount],
  });

  for (const name of [
    'fs',
    'node:fs/promises',
    'child_process',
    'net',
    'dgram',
    'http',
    'tls',
    'worker_threads',
    'cluster',
    'vm',
    'v8',
    'os',
    'inspector',
    'diagnostics_channel',
    'perf_hooks',
    'async_hooks/../fs',
    'wasi',
    '/runner/worker.cjs',
    './function.mjs',
  ]) {
    it(`has no ${name}, by require or by import`, async () => {
      for (const way of [
        `return Object.keys(require('${name}'))`,
        `return Object.keys(await import('${name}'))`,
        `return Object.keys(await (0, eval)("import('${name}')"))`,
        `return Object.keys(await new Function("return import('${name}')")())`,
        `return Object.keys(await Promise.resolve("import('${name}')").then(eval))`,
        `return await new Promise((resolve, reject) => queueMicrotask(() => (0, eval)("import('${name}')").then((m) => resolve(Object.keys(m)), reject)))`,
      ]) {
        expect(await attempt(way), way).to.have.property('error');
      }
    });
  }

  it('finds no way to node’s insides: not by process, by its constructors, or by stack frames', async () => {
    for (const way of [
      `return process.binding('fs')`,
      `return process.dlopen({ exports: {} }, '/usr/bin/node')`,
      `return process.getBuiltinModule('fs')`,
      `return process.mainModule.require('fs')`,
      `return process.constructor.constructor('return process.getBuiltinModule')().call(null, 'fs')`,
      `return require('module').Module._load('fs')`,
      `return require('module')._load('fs')`,
      `return require('process').kill(1, 9)`,
      `return new BroadcastChannel('a')`,
      `return new Worker('1')`,
      `return globalThis.gc()`,
    ]) {
      expect(await attempt(way), way).to.have.property('error');
    }
    const frames = `
      Error.prepareStackTrace = (_, frames) => frames;
      const seen = new Error().stack.map((frame) => [typeof frame.getThis(), typeof frame.getFunction()]);
      Error.prepareStackTrace = undefined;
      return seen.flat()`;
    const { value } = await attempt(frames);
    expect(value).to.include('undefined');
    const names = await attempt(`
      Error.prepareStackTrace = (_, frames) => frames;
      const all = new Error().stack.map((frame) => String(frame.getFunction()));
      Error.prepareStackTrace = undefined;
      return all.slice(1).filter((text) => /require\\(|internalBinding/.test(text))`);
    expect(names).to.deep.equal({ value: [] });
  });

  it('sees no secret of another function, and leaves nothing for it', async () => {
    const other = await bench.run(EVALUATOR, { env: { SECRET: 'a-secret-of-the-second' } });
    expect(other.pid).to.equal(sandbox.pid);
    const env = 'return JSON.stringify(process.env)';
    expect((await attempt(env)).value).to.equal('{"SECRET":"a-secret-of-the-first"}');
    expect((await attempt(env, other)).value).to.equal('{"SECRET":"a-secret-of-the-second"}');
    await attempt(`
      globalThis.left = 1; Object.prototype.left = 1; Array.prototype.push = () => { throw new Error('mine') };
      require('util').inspect = () => 'mine'; require('crypto').randomBytes = () => 'mine'; return 1`);
    expect(
      await attempt(
        `return [typeof globalThis.left, typeof ({}).left, [].push(1), require('util').inspect(1), require('crypto').randomBytes(4).length]`,
        other,
      ),
    ).to.deep.equal({ value: ['undefined', 'undefined', 1, '1', 4] });
  });

  it('may spoil its own runner’s prototypes, and is still answered for', async () => {
    const spoiled = await bench.run(`
      for (const of of [Object, Array, Promise, Map, Set, Uint8Array, Function]) {
        for (const name of Object.getOwnPropertyNames(of.prototype)) {
          if (name === 'constructor') continue;
          try { if (typeof of.prototype[name] === 'function' && !['then', 'call', 'apply', 'bind'].includes(name)) of.prototype['_' + name] = 1; } catch {}
        }
      }
      Object.prototype.then = undefined; Object.prototype.status = 999; Object.prototype.kind = 7;
      JSON.stringify = () => '{"code":"NOT_FOUND"}';
      export default () => 'still';`);
    expect((await call(spoiled)).body.toString()).to.equal('still');
    expect(await attempt('return 1')).to.deep.equal({ value: 1 });
  });

  it('keeps no answer of another call, and no call after its end', async () => {
    const error = await errorOf(bench.run('process.exit(3)'));
    expect(error.code).to.equal('FUNCTION_LOAD');
    expect(await attempt('return 1')).to.deep.equal({ value: 1 });
  });
});
