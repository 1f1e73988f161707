/**
 * Reported: an NF in a group of little weight, with a CPU quota, or with a small real-time budget, is slowed or stopped, and
 * functions are blamed or go on. Groups on v1 here; what v2 says goes through the same rules (test/linux/cgroup/standing).
 */

import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { readStanding } from '../../src/linux/cgroup/standing.js';
import { startTicks } from '../../src/linux/process.js';
import { getScheduling } from '../../src/linux/sched.js';
import { endProcess } from '../../src/linux/tied-process.js';
import { startProbe } from '../../src/nf/latency/probe.js';
import { NfProtection } from '../../src/nf/protection.js';
import { ControlSetup, NF_CORE, startServer } from '../support/control-setup.js';
import { idOf } from '../support/process-id.js';
import { RealAgent } from '../support/real-agent.js';
import { until } from '../support/waiting.js';

const CPU = '/sys/fs/cgroup/cpu';

describe('report: groups of the NF', function () {
  this.timeout(90_000);
  const group = `${CPU}/nemo-report-${process.pid}`;
  let server: ChildProcess | undefined;

  beforeEach(function () {
    if (!existsSync(`${CPU}/cpu.shares`)) this.skip();
    mkdirSync(`${group}/pod`, { recursive: true });
  });
  afterEach(async () => {
    if (server !== undefined) await endProcess(server);
    server = undefined;
    if (!existsSync(group)) return;
    await until(() => readFileSync(`${group}/pod/tasks`, 'utf8') === '');
    rmdirSync(`${group}/pod`);
    rmdirSync(group);
  });
  const set = (file: string, value: number, of = group) => writeFileSync(`${of}/${file}`, String(value));
  const start = async (answer: string) => {
    server = await startServer(answer, [`${group}/pod/cgroup.procs`]);
    return server.pid!;
  };

  it('weight, quota and real-time budget are read all the way up', async () => {
    set('cpu.shares', 2);
    set('cpu.cfs_quota_us', 50_000, `${group}/pod`);
    const standing = readStanding(await start('response.end();'));
    expect(standing.weight).to.deep.equal({ shares: 2, group: group.slice(CPU.length) });
    expect(standing.quota).to.deep.equal({ cores: 0.5, group: `${group.slice(CPU.length)}/pod` });
    expect(standing.quotaStatPaths).to.deep.equal([`${group}/pod/cpu.stat`]);
  });

  it('a weight as little as that of functions: they stay off its core until it has more, and it is said why', async () => {
    set('cpu.shares', 2);
    const pid = await start('response.end();');
    const cores = { functions: [NF_CORE], housekeeping: [0] };
    const agent = await new RealAgent({ nfs: [{ profile: 'nginx', pid }], cores }).start();
    try {
      await agent.deploy('hello', `export default () => 'hello';`);
      const { nfs } = await agent.until((frame) => frame.nfs[0]?.harvest?.how === 'not');
      expect(nfs[0]!.harvest!.why).to.include(`has a CPU weight of 2 of 1024`);
      expect(nfs[0]!.groups!.join()).to.include('CPU weight of 2');
      await agent.untilEvent(({ message }) => message.includes('CPU weight of 2'));
      expect((await agent.call('hello')).body).to.equal('hello');
      const { cores: seen, functions } = await agent.status();
      expect(functions[0]!.sandboxes.map(({ core }) => core)).to.not.include(NF_CORE);
      expect(seen.find(({ core }) => core === NF_CORE)!.totals.functionS).to.equal(0);
      // Its owner gives it more: within seconds it is harvested.
      set('cpu.shares', 1024);
      await agent.until((frame) => frame.nfs[0]?.harvest?.how === 'sleep');
    } finally {
      await agent.close();
    }
  });

  it('a CPU quota that stops the NF is not blamed on functions, and is said', async () => {
    set('cpu.cfs_quota_us', 10_000);
    const pid = await start(
      'const until = performance.now() + 4; while (performance.now() < until); response.end();',
    );
    const bed = await ControlSetup.start();
    const probe = await startProbe(idOf(pid), { kind: 'http' });
    try {
      const { quotaStatPaths } = readStanding(pid);
      const source = { kind: 'probe', shared: probe.shared } as const;
      bed.control.setNfs([bed.nf({ id: 'capped', pid, sloUs: 20_000, source, quotaStatPaths })]);
      let late = 0;
      bed.control.on('nf-stats', ([nf]) => {
        if ((nf?.p99Us ?? 0) <= 20_000 || nf!.throttledPerS === 0) return;
        // What happened before the quota was used up for the first time is not its doing.
        if (late++ === 0) bed.levels.length = 0;
      });
      // Three seconds in which the SLO is not held.
      await until(() => late >= 30);
      const blamed = bed.levels.filter(({ cause }) => /above the SLO|wait for their core/.test(cause));
      expect(blamed).to.deep.equal([]);
    } finally {
      await bed.close();
      await probe.close();
    }
  });

  it('a real-time budget of 100 ms a second is too small for FIFO: the nice value protects, with the amount in the hint', async function () {
    if (!existsSync(`${CPU}/cpu.rt_runtime_us`)) this.skip();
    set('cpu.rt_runtime_us', 100_000);
    set('cpu.rt_runtime_us', 100_000, `${group}/pod`);
    const pid = await start('response.end();');
    const agentDir = mkdtempSync('/var/tmp/nemo-report-');
    const protection = await NfProtection.start(agentDir);
    try {
      const threads = [{ tid: pid, name: 'x', packet: true, cores: [NF_CORE] }];
      const report = protection.protect({
        ...{ id: `x-${pid}`, pid, startTicks: startTicks(pid)!, uid: 0, threads, cores: [NF_CORE] },
        profile: {
          ...{ name: 'x', title: 'x', match: {}, mode: 'sleep', sloP99Us: 1_000, harvest: true },
          latency: { source: 'none' },
          protection: { kind: 'fifo', value: 50 },
        },
      });
      expect(report.applied).to.equal('nice:-15');
      expect(report.warnings.join()).to.include('100000 of 1000000 us').and.to.include('write 950000');
      expect(getScheduling(pid)).to.include({ policy: 'other', nice: -15 });
    } finally {
      await protection.close();
      rmSync(agentDir, { recursive: true, force: true });
    }
  });
});
