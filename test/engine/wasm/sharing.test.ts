import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { NemoError } from '../../../src/model/errors.js';
import type { Sandbox } from '../../../src/sandbox/engine.js';
import { WASM } from '../../../src/tunables/index.js';
import { call, errorOf, SandboxBench } from '../../support/sandboxes.js';
import {
  COUNTER_REACTOR,
  ECHO_COMMAND,
  ENDLESS,
  FILLING_REACTOR,
  TRACES_COMMAND,
} from '../../support/wasm-modules.js';

describe('wasm functions of one sharing group, more than there are threads', () => {
  const bench = new SandboxBench('wasm', { group: 'mine' });
  const all: Sandbox[] = [];
  const count = async (sandbox: Sandbox) => (await call(sandbox)).body[0];
  const threads = (sandbox: Sandbox): string[] => {
    const freezer = sandbox.cgroup.handle.freezePath!;
    const directory = freezer.slice(0, freezer.lastIndexOf('/'));
    const file = sandbox.cgroup.handle.version === 'v1' ? 'tasks' : 'cgroup.threads';
    return readFileSync(`${directory}/${file}`, 'utf8').split('\n').filter(Boolean);
  };

  before(async () => {
    for (let i = 0; i < WASM.threads + 4; i++) all.push(await bench.run(COUNTER_REACTOR));
  });
  after(() => bench.close());

  it('keep their instances, one each, on few threads of one process', async () => {
    for (const turn of [1, 2, 3]) {
      for (const sandbox of all) expect(await count(sandbox)).to.equal(turn);
    }
    expect(new Set(all.map(({ pid }) => pid)).size).to.equal(1);
    expect(new Set(all.flatMap(threads)).size).to.be.at.most(WASM.threads);
  });

  it('have a thread in their group when they run, and are accounted for it', async () => {
    const last = all.at(-1)!;
    for (const sandbox of [all[0]!, last]) {
      const before = sandbox.cgroup.usage().cpuNs;
      await count(sandbox);
      expect(threads(sandbox)).to.have.length(1);
      expect(sandbox.cgroup.usage().cpuNs).to.be.above(before);
    }
  });

  it('answer while others run without end on every thread there was, and after those are ended', async () => {
    const commands: Sandbox[] = [];
    for (let i = 0; i < 3; i++) commands.push(await bench.run(ECHO_COMMAND));
    const endless: Sandbox[] = [];
    for (let i = 0; i < WASM.threads; i++) endless.push(await bench.run(ENDLESS));
    const running = endless.map((sandbox) => errorOf(call(sandbox)));
    const echo = async (text: string) => {
      for (const sandbox of commands)
        expect((await call(sandbox, { body: text })).body.toString()).to.equal(text);
    };
    await echo('meanwhile');
    await Promise.all(endless.map((one) => one.kill(new NemoError('FUNCTION_TIMEOUT', 'too long'))));
    for (const error of await Promise.all(running)) expect(error.code).to.equal('FUNCTION_TIMEOUT');
    await echo('after');
    // An instance that was kept by a thread that had to end begins anew; its function is there.
    for (const sandbox of all) expect(await count(sandbox)).to.be.at.least(1);
  });

  it('run also where every thread belongs to one whose group is frozen', async () => {
    const [running, ...frozen] = all;
    for (const sandbox of frozen) await count(sandbox);
    for (const { cgroup } of frozen) {
      writeFileSync(cgroup.handle.freezePath!, cgroup.handle.version === 'v1' ? 'FROZEN' : '1');
    }
    expect(await count(running!)).to.be.at.least(1);
    for (const { cgroup } of frozen) cgroup.release();
    for (const sandbox of frozen) expect(await count(sandbox)).to.be.at.least(1);
  });

  it('come and go alone: nothing is left of one, and its process and the others stay', async () => {
    const one = await bench.run(TRACES_COMMAND);
    await call(one);
    await one.kill();
    expect(await one.exited).to.include({ cause: 'killed' });
    expect((await errorOf(call(one))).details?.started).to.equal(false);
    expect(bench.driver.list()).to.not.include(one.id);
    expect(await count(all[0]!)).to.be.at.least(1);
    expect(all[0]!.pid).to.equal(one.pid);
  });

  it('stay when one ends that held more than the others may: its memory is given back later', async () => {
    const own = { variant: 'large', memoryBytes: 400 * 2 ** 20 };
    const large = await bench.run(FILLING_REACTOR, own);
    const small = await bench.run(COUNTER_REACTOR, { ...own, memoryBytes: 16 * 2 ** 20 });
    await call(large);
    await large.kill();
    expect(await count(small)).to.equal(1);
  });

  it('take more calls at once than there are threads', async () => {
    const answers = await Promise.all(all.map(count));
    expect(answers.every((answer) => answer! >= 1)).to.equal(true);
  });

  it('end together with their process, running or not', async () => {
    process.kill(all[0]!.pid, 'SIGKILL');
    for (const exit of await Promise.all(all.map(({ exited }) => exited)))
      expect(exit.cause).to.equal('crashed');
    for (const sandbox of all) expect((await errorOf(call(sandbox))).details?.started).to.equal(false);
    expect(await count(await bench.run(COUNTER_REACTOR))).to.equal(1);
    expect(bench.driver.list().filter((name) => all.some(({ id }) => id === name))).to.deep.equal([]);
  });
});
