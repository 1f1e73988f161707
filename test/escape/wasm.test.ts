import { expect } from 'chai';
import type { Sandbox } from '../../src/sandbox/engine.js';
import { ISOLATE, WASM } from '../../src/tunables/index.js';
import { expectHarmless, processesThatShow, statusesOf } from '../support/escapes.js';
import { call, errorOf, SandboxBench } from '../support/sandboxes.js';
import {
  COUNTER_COMMAND,
  COUNTER_REACTOR,
  ECHO_REACTOR,
  ENVIRONMENT_COMMAND,
  FLOODING_COMMAND,
  READ_BEYOND,
  WASI_ESCAPES,
  WASI_PROBE,
} from '../support/wasm-modules.js';

/** A module has no system calls and no imports but WASI's (see engine.test for others): these are its ways out. */
describe('a wasm module that tries to get out', () => {
  const bench = new SandboxBench('wasm');
  let echo: Sandbox;
  const count = async (sandbox: Sandbox) => (await call(sandbox)).body[0];
  before(async () => {
    echo = await bench.run(ECHO_REACTOR);
  });
  after(() => bench.close());

  it('gets no file, directory, descriptor, socket or signal from WASI', async () => {
    const { body } = await call(await bench.run(WASI_PROBE));
    expect(body).to.have.length(WASI_ESCAPES.length);
    const worked = WASI_ESCAPES.filter((_, i) => body[i] === 0).map(([name]) => name);
    expect(worked).to.deep.equal([]);
  });

  it('reads nothing behind the end of its memory', async () => {
    const error = await errorOf(call(await bench.run(READ_BEYOND)));
    expect([error.code, /RangeError/.test(error.message)]).to.deep.equal(['FUNCTION_ERROR', true]);
  });

  it('leaves nothing of a call to the next, nor to another function, of its sharing group or not', async () => {
    const command = await bench.run(COUNTER_COMMAND);
    expect([await count(command), await count(command)]).to.deep.equal([1, 1]);
    const reactor = await bench.run(COUNTER_REACTOR, { variant: bench.variantFor('mine') });
    expect([await count(reactor), await count(reactor)]).to.deep.equal([1, 2]);
    for (const group of [undefined, 'mine', 'another']) {
      const other = await bench.run(COUNTER_REACTOR, { variant: bench.variantFor(group) });
      expect(await count(other), group).to.equal(1);
      expect(other.pid === reactor.pid, group).to.equal(group === 'mine');
    }
  });

  it('keeps its secrets out of every argument list and environment', async () => {
    const secret = 'a-secret-of-wasm';
    const sandbox = await bench.run(ENVIRONMENT_COMMAND, { env: { SECRET: secret } });
    expect((await call(sandbox)).body.toString()).to.include(secret);
    expect(processesThatShow(secret)).to.deep.equal([]);
  });

  it('would find itself in a process without privilege', () => {
    const statuses = statusesOf(echo);
    expect(statuses).to.not.have.length(0);
    for (const status of statuses) expectHarmless(status, [WASM.firstUid, ISOLATE.uidCount]);
  });

  it('answers without end: that call fails, and nobody else notices', async () => {
    const other = await bench.run(ECHO_REACTOR, { variant: bench.variantFor('another') });
    const flooding = await bench.run(FLOODING_COMMAND, { memoryBytes: 64 << 20 });
    const error = await errorOf(call(flooding));
    expect([error.code, /larger than/.test(error.message)]).to.deep.equal(['FUNCTION_ERROR', true]);
    const next = await errorOf(call(flooding));
    expect(next.code, 'it is still there').to.equal('FUNCTION_ERROR');
    expect((await call(other, { body: 'a' })).body.toString()).to.equal('a');
  });
});
