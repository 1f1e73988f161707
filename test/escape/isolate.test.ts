import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { LoadOptions, Sandbox } from '../../src/sandbox/engine.js';
import { ISOLATE } from '../../src/tunables/index.js';
import { itHoldsAgainstEscapes, type Outcome } from '../support/escapes.js';
import { ask, call, errorOf, json, SandboxBench } from '../support/sandboxes.js';
import { ATTACKS, MARK, STRINGS } from './support/isolate-attacks.js';

const GROUP = 'mine';

/** A module whose handler runs `code` and tells what came of it. */
function moduleOf(code: string): string {
  return `import { createRequire } from 'node:module';
    const require = createRequire('/function/function.mjs');
    const run = async () => { ${code} };
    export default async () => {
      try { return { value: (await run()) ?? null }; } catch (error) { return { error: error.code ?? error.message }; }
    };`;
}

describe('a function in an isolate that tries to get out', () => {
  const bench = new SandboxBench('isolate');
  const made = new WeakMap<Sandbox, Partial<LoadOptions> & { variant: string }>();
  let sandbox: Sandbox;
  const run = async (code: string, options: Partial<LoadOptions> & { variant: string }) => {
    const one = await bench.run(code, options);
    made.set(one, options);
    return one;
  };
  /** In a sandbox of its own in the process of `of`, with its environment and limits. */
  const attempt = async (code: string, of = sandbox): Promise<Outcome> => {
    const one = await run(moduleOf(code), made.get(of)!);
    try {
      return (await ask(one)) as Outcome;
    } finally {
      await one.kill();
    }
  };
  const options = (secret = 'a-secret-of-the-first') => ({ env: { SECRET: secret }, variant: GROUP });

  before(async () => {
    sandbox = await run(moduleOf('return 1'), options());
  });
  after(() => bench.close());

  it('finds nothing that node puts on globalThis with the first Response, in whatever version', async () => {
    const code = `new Response('x'); void globalThis.WebSocket;
      return Object.getOwnPropertySymbols(globalThis).filter((one) => Object(globalThis[one]) === globalThis[one]).map(String);`;
    expect(await attempt(code)).to.deep.equal({ value: [] });
  });

  itHoldsAgainstEscapes({
    run: ({ group = '', ...rest } = {}) => run(moduleOf('return 1'), { variant: group || GROUP, ...rest }),
    attempt: (of, code) => attempt(code, of),
    codePaths: ['/function/function.mjs', '/runner/main.js', '/usr/bin/node'],
    native: false,
    uids: [ISOLATE.firstUid, ISOLATE.uidCount],
  });

  for (const { name, code, event } of ATTACKS) {
    it(`does not get ${name}`, async () => {
      const said: string[] = [];
      const before = bench.logs.length;
      const note = (error: Error) => void said.push(error.message);
      const one = await bench.run(code, { variant: GROUP }).catch(note);
      if (one !== undefined) {
        const ask = () => call(one, event === undefined ? {} : json(event));
        const calls = [1, 2, 3].map(() => ask().then(({ body }) => void said.push(`${body}`), note));
        // They are answered in turn; what the agent takes for no answer is never one.
        await calls.at(-1);
        await one.kill();
        await Promise.all(calls);
      }
      said.push(...bench.logs.slice(before).map(({ text }) => text));
      expect(said).to.not.have.length(0);
      expect(said.filter((line) => line.includes(MARK))).to.deep.equal([]);
    });
  }

  it('finds nothing of a neighbour that has ended in memory that nobody has filled', async () => {
    // As a function leaves it that reads files or bodies of many lengths.
    const left = `let kept = [];
      for (let i = 0; i < 1_000; i++) {
        kept.push(Buffer.alloc(200 + 97 * (i % 200), process.env.SECRET));
        if (kept.length > 500) kept = kept.slice(400);
      }`;
    for (let i = 0; i < 3; i++)
      await (
        await run(`${left} export default () => kept.length;`, options('the neighbour’s secret'))
      ).kill();
    const code = `const kept = [];
      for (let i = 0; i < 4_000; i++) kept.push(Buffer.allocUnsafeSlow(64 + 29 * (i % 1_000)), Buffer.allocUnsafe(100));
      const all = [...kept, ...kept.map(({ buffer }) => Buffer.from(buffer))];
      return all.filter((one) => one.includes('secret')).length;`;
    expect(await attempt(code)).to.deep.equal({ value: 0 });
  });

  it('has copies of what belongs to the language', async () => {
    const code = `const bytes = new Uint8Array([1, 2]);
      const value = { bytes, of: bytes.buffer, map: new Map([[1, new Date(0)]]), error: new RangeError('r') };
      value.self = value;
      const { port1, port2 } = new MessageChannel();
      const heard = new Promise((resolve) => { port2.onmessage = ({ data }) => resolve(data); });
      port1.postMessage(value);
      const copies = [structuredClone(value), await heard, performance.mark('a', { detail: value }).detail];
      port1.close();
      const failed = (() => { try { structuredClone(() => {}); } catch (error) { return error.name; } })();
      const { duration } = performance.measure('b', { start: 1, end: 3 });
      const same = copies.map((one) => one !== value && one.self === one && one.bytes.buffer === one.of &&
        one.bytes[1] === 2 && one.map.get(1).getTime() === 0 && one.error instanceof RangeError);
      return { same, failed, duration, entries: performance.getEntriesByName('b').length };`;
    expect(await attempt(code)).to.deep.equal({
      value: { same: [true, true, true], failed: 'DataCloneError', duration: 2, entries: 1 },
    });
  });

  it('makes no code of strings', async () => {
    for (const way of STRINGS) expect(await attempt(`return ${way}`), way).to.have.property('error');
  });

  it('imports nothing but what is allowed, whatever it calls', async () => {
    for (const name of [
      ...[
        'fs',
        'node:fs/promises',
        'child_process',
        'net',
        'dgram',
        'http',
        'tls',
        'worker_threads',
        'cluster',
      ],
      ...[
        'vm',
        'v8',
        'os',
        'inspector',
        'diagnostics_channel',
        'perf_hooks',
        'async_hooks/../fs',
        'wasi',
        'sqlite',
      ],
      ...[
        'node:sqlite',
        'node:sea',
        'node:test',
        'repl',
        'trace_events',
        'dns',
        'readline',
        'sys',
        '__proto__',
      ],
      ...[
        'constructor',
        '/runner/worker.cjs',
        './function.mjs',
        'file:///runner/thread.js',
        'data:text/javascript,1',
      ],
    ]) {
      for (const way of [`Object.keys(require('${name}'))`, `Object.keys(await import('${name}'))`])
        expect(await attempt(`return ${way}`), way).to.have.property('error');
    }
  });

  it('finds no way to node’s insides: not by process, by its constructors, or by stack frames', async () => {
    for (const way of [
      `return process.binding('fs')`,
      `return process.dlopen({ exports: {} }, '/usr/bin/node')`,
      `return process.getBuiltinModule('fs')`,
      `return process.mainModule.require('fs')`,
      `return require('module').Module._load('fs')`,
      `return require('module')._load('fs')`,
      `return require('process').kill(1, 9)`,
      `return require('crypto').setEngine('x')`,
      `return require('async_hooks').createHook({}).enable()`,
      `return require('async_hooks').executionAsyncResource()`,
      `return new BroadcastChannel('a')`,
      `return new Worker('1')`,
      `return globalThis.gc()`,
    ]) {
      expect(await attempt(way), way).to.have.property('error');
    }
    const frames = await attempt(`
      Error.prepareStackTrace = (_, frames) => frames;
      const seen = new Error().stack.map((frame) => [typeof frame.getThis(), typeof frame.getFunction()]);
      Error.prepareStackTrace = undefined;
      return seen.flat().filter((kind) => kind !== 'undefined')`);
    expect(frames).to.deep.equal({ value: [] });
  });

  it('sees no secret of another function of its group, and leaves nothing for it', async () => {
    const other = await run(moduleOf('return 1'), options('a-secret-of-the-second'));
    expect(other.pid).to.equal(sandbox.pid);
    const env = 'return JSON.stringify(process.env)';
    expect((await attempt(env)).value).to.equal('{"SECRET":"a-secret-of-the-first"}');
    expect((await attempt(env, other)).value).to.equal('{"SECRET":"a-secret-of-the-second"}');
    const spoiling = await bench.run(
      moduleOf(`globalThis.left = 1; Array.prototype.push = () => { throw new Error('mine') };
        require('util').inspect = () => 'mine'; require('crypto').randomBytes = () => 'mine'; return 1`),
      { variant: GROUP },
    );
    await ask(spoiling);
    const seen = await attempt(
      `return [typeof globalThis.left, [].push(1), require('util').inspect(1), require('crypto').randomBytes(4).length]`,
      other,
    );
    expect(seen).to.deep.equal({ value: ['undefined', 1, '1', 4] });
  });

  it('may spoil its own runner’s prototypes, and is still answered for', async () => {
    const spoiled = await bench.run(
      `const broken = () => { throw new Error('mine') };
      for (const of of [Object, Array, Promise, Map, Set, Uint8Array, Function, String, Buffer]) {
        for (const name of Reflect.ownKeys(of.prototype)) {
          if (name === 'constructor' || name === Symbol.iterator || (of === Function && name !== 'call')) continue;
          try { if (typeof of.prototype[name] === 'function') of.prototype[name] = broken } catch {}
        }
      }
      for (const name of ['then', 'status', 'kind']) try { Object.prototype[name] = 999 } catch {}
      JSON.stringify = JSON.parse = () => '{"code":"NOT_FOUND"}';
      Buffer.from = Buffer.alloc = broken; Date.now = performance.now = setTimeout = broken;
      export default () => 'still';`,
      { variant: GROUP },
    );
    for (let i = 0; i < 3; i++) expect((await call(spoiled)).body.toString()).to.equal('still');
    expect(await attempt('return 1')).to.deep.equal({ value: 1 });
  });

  it('sends no frame but those of its answers, whatever length its bytes say they have', async () => {
    const forged = `
      const frame = (id, text) => { const head = Buffer.alloc(20); head.writeUInt32LE(text.length, 0); head.writeUInt32LE(id, 8); head[12] = 19; head[13] = 1; head.writeUInt16LE(200, 14); return Buffer.concat([head, Buffer.from(text)]); };
      const bytes = Buffer.concat([Buffer.alloc(20_000), ...Array.from({ length: 40 }, (_, id) => frame(id, '${MARK}'))]);
      for (const name of ['length', 'byteLength']) Object.defineProperty(bytes, name, { value: 20_000 });
      let answer; const waits = new Promise((resolve) => { answer = resolve });
      export default async (event) => { if (event === 1) return waits; setTimeout(answer, 20, 'mine'); return bytes };`;
    const one = await bench.run(forged, { variant: GROUP, concurrency: 2 });
    const waiting = call(one, json(1)).then(({ body }) => `${body}`, String);
    await call(one, json(2)).catch(() => {});
    expect(await waiting).to.equal('mine');
  });

  it('answers for a response that is none, and for errors that cannot be told', async () => {
    const odd = await bench.run(
      `const status = { valueOf() { console.log('${MARK}'); return 200 } };
       const headers = { forEach() {}, getSetCookie: () => [] };
       export default (event) => {
         if (event === 1) return { [Symbol.toStringTag]: 'Response', arrayBuffer() {}, status, headers, body: null };
         if (event === 2) throw new Proxy({}, { getPrototypeOf() { throw 1 }, has() { throw 2 }, get() { throw 3 } });
         if (event === 3) throw null;
         return 'still';
       };`,
      { variant: GROUP },
    );
    for (const event of [1, 2, 3])
      expect((await errorOf(call(odd, json(event)))).code).to.equal('FUNCTION_ERROR');
    expect((await call(odd, json(4))).body.toString()).to.equal('still');
    expect(bench.logs.filter(({ text }) => text.includes(MARK))).to.deep.equal([]);
  });

  it('does not run on after its end, and takes nobody of its group with it', async () => {
    const endless = await bench.run('export default () => { for (;;); }', { variant: GROUP });
    const running = errorOf(call(endless));
    await endless.kill();
    expect((await running).code).to.equal('FUNCTION_EXIT');
    expect((await errorOf(bench.run('process.exit(3)', { variant: GROUP }))).code).to.equal('FUNCTION_LOAD');
    const late = await bench.run(
      'setTimeout(() => { throw null }, 1); export default () => new Promise(() => {});',
      {
        variant: GROUP,
      },
    );
    expect((await errorOf(call(late))).code).to.be.oneOf(['FUNCTION_ERROR', 'FUNCTION_EXIT']);
    expect(await ask(sandbox)).to.deep.equal({ value: 1 });
  });
});

/** As if an attack above had got through: the thread's program gives its function node's own `require`. */
describe('a function in an isolate that has node’s real modules nevertheless', () => {
  const bench = new SandboxBench('isolate');
  const attempt = async (code: string, variant = GROUP): Promise<Outcome> => {
    const one = await bench.run(moduleOf(`const real = globalThis[Symbol.for('real')]; ${code}`), {
      variant,
    });
    return (await ask(one)) as Outcome;
  };

  before(async () => {
    // Lays the runtime out.
    await (await bench.start({ variant: 'first' })).kill();
    const program = join(bench.directory, 'sandboxes/isolate/runtime/runner/thread.js');
    const given = `globalThis[Symbol.for('real')] = require;`;
    writeFileSync(program, readFileSync(program, 'utf8').replace('"use strict";', `$&${given}`));
    appendFileSync(program, '\n');
    expect(await attempt(`return typeof real('fs').readFileSync`)).to.deep.equal({ value: 'function' });
  });
  after(() => bench.close());

  for (const [what, code] of Object.entries({
    'reads no file but the runner’s': `return ['/etc/passwd', '/function/agent.sock', '/proc/self/mem', '/proc/self/environ', '/usr/bin/node', '/proc/1/maps'].filter((path) => { try { real('fs').closeSync(real('fs').openSync(path, 'r')); return true } catch { return false } })`,
    'lists no folder': `return ['/', '/proc', '/function', '/usr/bin'].filter((path) => { try { return real('fs').readdirSync(path) } catch { return false } })`,
    'writes nowhere': `return ['/tmp/x', '/runner/x', '/dev/shm/x', '/proc/self/mem', '/proc/self/oom_score_adj'].filter((path) => { try { real('fs').writeFileSync(path, 'x'); return true } catch { return false } })`,
    'starts no program': `return [() => real('child_process').execFileSync('/usr/bin/node', ['-v']), () => real('child_process').spawn('/usr/bin/node').pid.toFixed()].filter((way) => { try { way(); return true } catch { return false } }).length || []`,
    'loads no add-on': `try { process.constructor; real('module')._extensions['.node']({ exports: {} }, '/usr/lib/x.node'); return ['loaded'] } catch (error) { return error.code === 'ERR_DLOPEN_DISABLED' || error.code === 'ERR_ACCESS_DENIED' ? [] : [error.code] }`,
    'opens no inspector, and writes no snapshot of memory': `return [() => real('inspector').open(0), () => new (real('inspector').Session)().connect(), () => real('v8').writeHeapSnapshot('/tmp/heap')].filter((way) => { try { way(); return true } catch { return false } }).map(String)`,
    'has no WASI with folders': `try { new (real('wasi').WASI)({ version: 'preview1', preopens: { '/': '/' } }); return ['wasi'] } catch { return [] }`,
    'connects to no address': `return await Promise.all([[1, '127.0.0.1'], [80, '192.0.2.1']].map((to) => new Promise((resolve) => { try { real('net').connect(...to).on('connect', () => resolve('in')).on('error', (error) => resolve(error.code)) } catch (error) { resolve(error.code) } }))).then((all) => all.filter((code) => !['EPERM', 'EACCES', 'ERR_ACCESS_DENIED', 'EAFNOSUPPORT'].includes(code)))`,
  })) {
    it(what, async () => {
      expect(await attempt(code)).to.deep.equal({ value: [] });
    });
  }

  it('finds no other function in its process, unless that names the same sharing group', async () => {
    const alone = await bench.run('export default () => 1');
    const another = await bench.run('export default () => 1');
    const group = await bench.run('export default () => 1', { variant: GROUP });
    expect(new Set([alone, another, group].map(({ pid }) => pid)).size).to.equal(3);
  });
});
