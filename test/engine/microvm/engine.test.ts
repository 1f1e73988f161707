import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { MicrovmEngine } from '../../../src/engine/microvm/engine.js';
import { MicrovmBench } from '../../support/microvm-bench.js';
import { ask, call, errorOf, json } from '../../support/sandboxes.js';
import { moduleOf } from '../../support/sources.js';
import { testKernel } from '../../support/test-kernel.js';
import { until, untilGone } from '../../support/waiting.js';

/** It boots once; every test goes on from that snapshot. */
describe('the microvm engine', function () {
  this.timeout(180_000);
  let kernel: string;
  let bench: MicrovmBench;
  let engine: MicrovmEngine;
  before(async () => {
    kernel = await testKernel();
    bench = new MicrovmBench(kernel);
    rmSync(bench.stateDir, { recursive: true, force: true });
    engine = bench.engine();
    expect(await engine.check()).to.deep.equal({ ok: true, note: 'runs emulated (TCG): as configured' });
    const source = moduleOf('export default () => 1', 'f.mjs');
    expect(`${await engine.prepare({ functionName: 'f', source })}`).to.contain('export');
  });
  after(async () => {
    await engine.close();
    await bench.close();
  });

  it('makes one snapshot at the first deploy and says so', () => {
    expect(bench.notes.at(-1)).to.contain('the snapshot stem-128 is ready: its boot took');
    expect(bench.notes[0]).to.contain('booting a virtual machine of 256 MB (tcg)');
    const [stem, ...others] = engine.snapshots.list();
    expect(others).to.deep.equal([]);
    expect([stem!.key, stem!.tier]).to.deep.equal(['stem-128', 'memory']);
  });

  it('tells a call its time from its begin, not from when it was sent ahead', async () => {
    const sandbox = await bench.start(engine);
    const code = `export default async (hold, context) => {
      const remaining = context.remainingTimeMs();
      while (hold && context.remainingTimeMs() > remaining - 500) await new Promise((next) => setTimeout(next, 5));
      return remaining;
    };`;
    await bench.load(sandbox, code);
    const [, ahead] = await Promise.all([ask(sandbox, true), ask(sandbox, false)]);
    expect(ahead, 'ms').to.be.within(9_500, 10_000);
    await sandbox.kill();
  });

  it('tells a function that its caller has left', async () => {
    const sandbox = await bench.start(engine);
    const code = `let left = false;
      export default async (waits, { signal }) => {
        if (!waits) return left;
        console.log('waits');
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        left = true;
      };`;
    await bench.load(sandbox, code);
    const caller = { gone: false };
    const ended = call(sandbox, json(true), undefined, caller);
    await until(() => bench.logs.some(({ text }) => text.startsWith('waits')));
    caller.gone = true;
    sandbox.callersLeft?.();
    await Promise.allSettled([ended]);
    expect(await ask(sandbox, false)).to.equal(true);
    await sandbox.kill();
  });

  it('goes on from it as often as asked, with a clock, random numbers and state of its own each time', async () => {
    const code = `import { randomUUID, randomBytes } from 'node:crypto';
      let calls = 0;
      console.log('loaded', process.env.COLOUR);
      export default (event) => ({ event, calls: ++calls, now: Date.now(), uid: process.getuid(),
        random: [Math.random(), randomUUID(), randomBytes(8).toString('hex')] });`;
    const [a, b] = await Promise.all([bench.start(engine), bench.start(engine)]);
    await bench.load(a, code, { env: { COLOUR: 'red' } });
    await bench.load(b, code, { env: { COLOUR: 'blue' } });
    type Answer = { event: unknown; calls: number; now: number; uid: number; random: unknown[] };
    const first = (await ask(a, { n: 1 })) as Answer;
    const second = (await ask(a, { n: 2 })) as Answer;
    const before = Date.now();
    const other = (await ask(b, { n: 3 })) as Answer;
    expect([first.calls, second.calls, other.calls]).to.deep.equal([1, 2, 1]);
    expect([second.event, other.event, other.uid]).to.deep.equal([{ n: 2 }, { n: 3 }, 1000]);
    expect(Math.abs(other.now - before)).to.be.lessThan(10_000);
    for (const i of [0, 1, 2]) expect(first.random[i]).to.not.equal(other.random[i]);
    await Promise.all([a.kill(), b.kill()]);
    const printed = () => bench.logs.filter(({ text }) => text.startsWith('loaded ')).map(({ text }) => text);
    expect(printed().sort()).to.deep.equal(['loaded blue', 'loaded red']);
  });

  it('shows a function nothing of the host, and no way out', async () => {
    const secret = mkdtempSync('/var/tmp/nemo-test-secret-');
    writeFileSync(join(secret, 'secret'), 'host');
    const sandbox = await bench.start(engine);
    await bench.load(
      sandbox,
      `import { readdirSync, existsSync, writeFileSync } from 'node:fs';
      import { networkInterfaces, release } from 'node:os';
      import { connect } from 'node:net';
      const refused = (act) => { try { act(); return 'done'; } catch (error) { return error.code; } };
      export default async (path) => ({
        seen: existsSync(path), kernel: release(), interfaces: Object.keys(networkInterfaces()),
        disks: readdirSync('/dev').filter((name) => /^vd/.test(name)),
        root: refused(() => writeFileSync('/usr/bin/node', '')), disk: refused(() => writeFileSync('/dev/vda', '')),
        sync: refused(() => writeFileSync('/dev/port2', '')),
        out: await new Promise((resolve) => connect(80, '192.0.2.1').on('error', ({ code }) => resolve(code)).on('connect', () => resolve('connected'))),
        processes: readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).length,
      })`,
    );
    const seen = (await ask(sandbox, secret)) as Record<string, unknown>;
    const { kernel: release, processes, ...rest } = seen;
    expect(release).to.equal(kernel.replace(/.*vmlinuz-/, ''));
    expect(processes).to.be.lessThan(100);
    expect(rest).to.deep.equal({
      seen: false,
      interfaces: [],
      disks: ['vda'],
      root: 'EROFS',
      disk: 'EACCES',
      sync: 'EACCES',
      out: 'ENETUNREACH',
    });
    await sandbox.kill();
    rmSync(secret, { recursive: true });
  });

  it('confines QEMU: a user of its own, no capability, no network, no file of the host but programs', async () => {
    const sandbox = await bench.start(engine, { scheduling: 'idle' });
    const pids = membersOf(sandbox.cgroup.joinPaths[0]!);
    const qemu = pids.find((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('qemu'))!;
    const status = readFileSync(`/proc/${qemu}/status`, 'utf8');
    expect(/Uid:\s+(\d+)/.exec(status)?.[1]).to.match(/^60\d\d\d$/);
    expect(/CapEff:\s+(\w+)/.exec(status)?.[1]).to.equal('0000000000000000');
    expect(/NoNewPrivs:\s+(\d)/.exec(status)?.[1]).to.equal('1');
    expect(/Seccomp:\s+(\d)/.exec(status)?.[1]).to.equal('2');
    const interfaces = readFileSync(`/proc/${qemu}/net/dev`, 'utf8').split('\n').slice(2).filter(Boolean);
    expect(interfaces.map((line) => line.split(':')[0]!.trim())).to.deep.equal(['lo']);
    expect(readdirSync(`/proc/${qemu}/root`)).to.not.include.members(['root', 'home', 'var']);
    for (const tid of readdirSync(`/proc/${qemu}/task`)) {
      const policy = readFileSync(`/proc/${qemu}/task/${tid}/stat`, 'utf8').split(') ')[1]!.split(' ')[38];
      expect(policy, 'SCHED_IDLE').to.equal('5');
    }
    await sandbox.kill();
    // A process leaves its group a moment before it has ended.
    await Promise.all(pids.map((pid) => untilGone(Number(pid))));
  });

  it('counts its memory and CPU time, and ends a function that wants more than its memory', async () => {
    const sandbox = await bench.start(engine);
    await bench.load(
      sandbox,
      'const kept = []; export default () => { for (;;) kept.push(Buffer.alloc(4e6, 1)); }',
    );
    const { memoryBytes, cpuNs } = sandbox.cgroup.usage();
    expect(memoryBytes)
      .to.be.greaterThan(10e6)
      .and.lessThan(224 * 2 ** 20);
    expect(cpuNs).to.be.greaterThan(0);
    const error = await errorOf(ask(sandbox));
    expect([error.code, error.message]).to.deep.equal([
      'FUNCTION_OOM',
      'probe used more memory than its limit',
    ]);
    expect((await sandbox.exited).cause).to.equal('oom');
  });

  it('ends at a kill in the middle of a call, and tells of functions that end themselves', async () => {
    const [busy, leaving] = await Promise.all([bench.start(engine), bench.start(engine)]);
    await bench.load(busy, 'export default () => { for (;;); }');
    await bench.load(leaving, 'export default () => process.exit(3)');
    const cut = errorOf(ask(busy));
    await busy.kill();
    expect((await cut).code).to.equal('FUNCTION_EXIT');
    const left = await errorOf(ask(leaving));
    expect(left.code).to.equal('FUNCTION_EXIT');
    expect(left.ownersMessage).to.contain('its program ended with code 3');
  });

  it('tells errors of loading and of calls as other engines do', async () => {
    const [broken, thrower] = await Promise.all([bench.start(engine), bench.start(engine)]);
    expect((await errorOf(bench.load(broken, 'export const a = 1'))).code).to.equal('BAD_FUNCTION');
    await bench.load(thrower, 'export default (event) => { throw new TypeError("no " + event.what); }');
    const error = await errorOf(ask(thrower, { what: 'way' }));
    expect([error.code, error.message]).to.deep.equal(['FUNCTION_ERROR', 'probe threw TypeError: no way']);
    await thrower.kill();
  });

  it('refuses a snapshot of another version, and a kernel that does not boot with the end of its console', async () => {
    await engine.close();
    const stateDir = join(bench.directory, 'state');
    cpSync(bench.stateDir, stateDir, { recursive: true });
    const meta = join(stateDir, 'snapshots', 'stem-128', 'meta.json');
    writeFileSync(meta, readFileSync(meta, 'utf8').replace(/"version":"[^"]*"/, '"version":"0.0.1"'));
    const broken = join(bench.directory, 'vmlinuz-none');
    writeFileSync(broken, 'not a kernel');
    engine = bench.engine({ kernel: broken, stateDir });
    const error = await errorOf(bench.start(engine));
    expect(error.code).to.equal('SANDBOX_START');
    expect(error.message).to.match(/^the virtual machine .*(console|kernel)/s);
    expect(bench.notes.at(-2)).to.match(
      /^the snapshot stem-128 is not used: it is from another version \(0\.0\.1, now /,
    );
    expect(engine.snapshots.list()).to.deep.equal([]);
    const groups = bench.driver.list();
    expect(groups).to.deep.equal([]);
  });
});

function membersOf(joinPath: string): string[] {
  return readFileSync(joinPath, 'utf8').split('\n').filter(Boolean);
}
