import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { MicrovmEngine } from '../../../src/engine/microvm/engine.js';
import type { FunctionSpec } from '../../../src/model/function.js';
import { functionRef } from '../../../src/model/function-ref.js';
import type { LoadOptions, Sandbox } from '../../../src/sandbox/engine.js';
import { MicrovmBench } from '../../support/microvm-bench.js';
import { ask, errorOf } from '../../support/sandboxes.js';
import { testKernel } from '../../support/test-kernel.js';

/** What it draws while it is loaded is the same in all; what it draws later must not be. */
const CODE = `import { randomUUID, randomBytes, randomInt, generateKeyPairSync, webcrypto } from 'node:crypto';
  import { promisify } from 'node:util';
  import crypto from 'node:crypto';
  randomUUID(); randomInt(1e9); Math.random(); randomBytes(1); webcrypto.randomUUID();
  generateKeyPairSync('ed25519');
  const atLoad = randomUUID();
  let calls = 0;
  console.log('loading');
  export default async (event) => ({ event, atLoad, calls: ++calls, now: Date.now(), secret: process.env.SECRET,
    random: [Math.random(), randomUUID(), webcrypto.randomUUID(), randomInt(2 ** 40), await promisify(randomInt)(2 ** 40),
      randomBytes(8).toString('hex'), webcrypto.getRandomValues(new Uint32Array(4)).join(),
      (await promisify(crypto.randomBytes)(8)).toString('hex'),
      generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }).toString('hex')] });`;

interface Answer {
  event: unknown;
  atLoad: string;
  calls: number;
  now: number;
  secret: string;
  random: unknown[];
}

describe('snapshots of loaded functions', function () {
  this.timeout(180_000);
  let bench: MicrovmBench;
  let engine: MicrovmEngine;
  let load: LoadOptions;
  const folder = (key = 'probe') => join(bench.stateDir, 'snapshots', `function-${key}`);
  const run = async (options: LoadOptions): Promise<Sandbox> => {
    const sandbox = await bench.start(engine, { willLoad: options });
    await sandbox.load(options);
    return sandbox;
  };
  const made = async (options: LoadOptions): Promise<void> => {
    let isMade = false;
    const note = bench.note(/snapshot of the loaded function (team\/)?probe was made/, bench.notes.length);
    void note.then(() => {
      isMade = true;
    });
    for (let i = 0; i < 20 && !isMade; i++) await (await run(options)).kill();
    expect(await note).to.match(/^a snapshot of/);
  };
  before(async () => {
    bench = new MicrovmBench(await testKernel());
    engine = bench.engine();
    load = bench.loadOptions(CODE, { env: { SECRET: 'of probe' } });
    await made(load);
  });
  after(async () => {
    await engine.close();
    await bench.close();
  });

  it('answers from it without loading, with a clock and random numbers of its own each time', async () => {
    const before = bench.logs.length;
    const [a, b] = await Promise.all([run(load), run(load)]);
    const answers = (await Promise.all([ask(a, 1), ask(b, 2)])) as [Answer, Answer];
    expect(answers.map(({ event, calls, secret }) => [event, calls, secret])).to.deep.equal([
      [1, 1, 'of probe'],
      [2, 1, 'of probe'],
    ]);
    expect(answers[0].atLoad).to.equal(answers[1].atLoad);
    for (const [i, drawn] of answers[0].random.entries())
      expect(drawn, `number ${i}`).to.not.equal(answers[1].random[i]);
    for (const { now } of answers) expect(Math.abs(now - Date.now())).to.be.lessThan(10_000);
    await Promise.all([a.kill(), b.kill()]);
    expect(bench.logs.slice(before).map(({ text }) => text)).to.not.include('loading');
  });

  it('is read by nobody but root', () => {
    expect(statSync(join(bench.stateDir, 'snapshots')).mode & 0o777).to.equal(0o700);
    for (const name of readdirSync(folder()))
      expect(statSync(join(folder(), name)).mode & 0o077, name).to.equal(0);
  });

  it('serves no other function, and refuses to become one', async () => {
    const other = { ...load, ref: functionRef('other'), env: {} };
    expect(await engine.restores(other)).to.equal(false);
    expect(await engine.restores({ ...load, ref: functionRef('probe', 'team') })).to.equal(false);
    const sandbox = await run(other);
    expect(((await ask(sandbox)) as Answer).secret).to.equal(undefined);
    await sandbox.kill();
    const restored = await bench.start(engine, { willLoad: load });
    const error = await errorOf(restored.load(other));
    expect([error.code, error.message]).to.deep.equal([
      'INTERNAL',
      `${restored.id} has loaded probe as it was`,
    ]);
    await restored.exited;
  });

  it('goes with its function, its code and its settings', async () => {
    const [code, env] = [/(\w+)\.mjs/.exec(load.bundlePath)![1]!, load.env];
    const spec = { ref: functionRef('probe'), codeHash: code, env, concurrency: 1 } as FunctionSpec;
    engine.retain([spec]);
    expect(existsSync(folder())).to.equal(true);
    engine.retain([{ ...spec, env: { SECRET: 'another' } }]);
    expect(existsSync(folder())).to.equal(false);
    const namesake = { ...spec, ref: functionRef('probe', 'team') };
    engine.retain([spec, namesake]);
    await made({ ...load, ref: namesake.ref });
    expect(existsSync(folder())).to.equal(false);
    expect(existsSync(folder('team@probe'))).to.equal(true);
    engine.retain([spec, { ...namesake, codeHash: 'another' }]);
    expect(existsSync(folder('team@probe'))).to.equal(false);
  });
});
