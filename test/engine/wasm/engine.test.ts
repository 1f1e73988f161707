import { expect } from 'chai';
import { NemoError } from '../../../src/model/errors.js';
import { call, errorOf, SandboxBench } from '../../support/sandboxes.js';
import { wasmOf } from '../../support/sources.js';
import {
  COUNTER_REACTOR,
  ECHO_COMMAND,
  ECHO_REACTOR,
  ENDLESS,
  ENVIRONMENT_COMMAND,
  FOREIGN_IMPORT,
  GROWING_COMMAND,
  GROWING_REACTOR,
  HUGE,
  LYING_REACTOR,
  NO_EXPORT,
  NOOP_COMMAND,
  OUT_OF_BOUNDS,
  TRACES_COMMAND,
  TRAP,
} from '../../support/wasm-modules.js';

describe('the wasm engine', () => {
  const bench = new SandboxBench('wasm', { group: 'mine' });
  const MIB = 2 ** 20;
  after(() => bench.close());

  it('works here', async () => {
    expect(await (await bench.engine()).check()).to.deep.equal({ ok: true });
  });

  it('runs a command: the body on stdin, the answer on stdout', async () => {
    const sandbox = await bench.run(ECHO_COMMAND);
    for (const body of ['', 'hello', 'x'.repeat(200_000)]) {
      const answer = await call(sandbox, { body });
      expect(answer.body.toString()).to.equal(body);
    }
    expect((await call(sandbox)).headers).to.include({ 'content-type': 'application/octet-stream' });
  });

  it('tells a command the request as CGI does, and its function’s environment', async () => {
    const sandbox = await bench.run(ENVIRONMENT_COMMAND, { env: { LEVEL: 'debug' } });
    const headers = { 'content-type': 'text/plain', 'x-request-id': '7' };
    const answer = await call(sandbox, { method: 'PUT', path: '/a', query: 'b=1', headers });
    expect(answer.body.toString().split('\0')).to.include.members([
      'LEVEL=debug',
      'REQUEST_METHOD=PUT',
      'PATH_INFO=/a',
      'QUERY_STRING=b=1',
      'CONTENT_TYPE=text/plain',
      'HTTP_X_REQUEST_ID=7',
    ]);
  });

  it('keeps the instance of a reactor, and gives a command a fresh one each call', async () => {
    expect((await call(await bench.run(ECHO_REACTOR), { body: 'round' })).body.toString()).to.equal('round');
    const counter = await bench.run(COUNTER_REACTOR);
    expect([(await call(counter)).body[0], (await call(counter)).body[0]]).to.deep.equal([1, 2]);
    expect((await call(await bench.run(NOOP_COMMAND))).body).to.have.length(0);
  });

  it('leaves nothing of a call of a command for the next, whether its memory is used again or made anew', async () => {
    for (const module of [TRACES_COMMAND, GROWING_COMMAND]) {
      const sandbox = await bench.run(module);
      for (let i = 0; i < 3; i++) {
        const { body } = await call(sandbox);
        expect([body.readInt32LE(0), body.readInt32LE(4), body.readInt32LE(8)]).to.deep.equal([42, 1, 1]);
      }
    }
  });

  it('looks at a module at deploy and says what is wrong with it', async () => {
    const engine = await bench.engine();
    const wrong = (content: Buffer) =>
      errorOf(engine.prepare({ functionName: 'f', source: wasmOf(content) }));
    for (const [module, says] of [
      [FOREIGN_IMPORT, /imports the function env\.open/],
      [NO_EXPORT, /exports neither _start nor handle/],
      [Buffer.from('export default () => 1'), /it is not WebAssembly/],
      [ECHO_COMMAND.subarray(0, 60), /section|code|length|expected/],
      [Buffer.alloc(0), /it is empty/],
    ] as const) {
      const error = await wrong(module as Buffer);
      expect([error.code, error.message]).to.satisfy(
        ([code, message]: string[]) => code === 'BAD_FUNCTION' && says.test(message!),
        error.message,
      );
    }
    const prepared = await engine.prepare({ functionName: 'f', source: wasmOf(ECHO_COMMAND) });
    expect(prepared).to.deep.equal(ECHO_COMMAND);
  });

  it('ends an endless module when it is told to, and its neighbour answers on', async () => {
    const [endless, neighbour] = await Promise.all([bench.run(ENDLESS), bench.run(ECHO_COMMAND)]);
    const running = errorOf(call(endless!));
    expect((await call(neighbour!, { body: 'a' })).body.toString()).to.equal('a');
    await endless!.kill(new NemoError('FUNCTION_TIMEOUT', 'too long'));
    expect((await running).code).to.equal('FUNCTION_TIMEOUT');
    expect((await call(neighbour!, { body: 'b' })).body.toString()).to.equal('b');
  });

  it('answers for a module that traps, reads beyond its memory, or lies about its answer; and serves on', async () => {
    for (const [module, says] of [
      [TRAP, /unreachable/],
      [OUT_OF_BOUNDS, /memory access out of bounds/],
      [LYING_REACTOR, /RangeError/],
    ] as const) {
      const sandbox = await bench.run(module);
      for (let i = 0; i < 2; i++) {
        const error = await errorOf(call(sandbox));
        expect(error.code).to.equal('FUNCTION_ERROR');
        expect(error.message).to.match(says);
      }
    }
  });

  it('holds a module to its memory: what begins above is refused, what grows above gets -1', async () => {
    const large = await errorOf(bench.run(HUGE, { memoryBytes: 64 * MIB }));
    expect([large.code, large.message]).to.satisfy(
      ([code, message]: string[]) => code === 'BAD_FUNCTION' && /begins with/.test(message!),
      large.message,
    );
    const grown = async (memoryBytes: number) =>
      (await call(await bench.run(GROWING_REACTOR, { memoryBytes }))).body.readInt32LE(0);
    expect(await grown(64 * MIB)).to.equal(-1);
    expect(await grown(400 * MIB)).to.equal(1);
  });
});
