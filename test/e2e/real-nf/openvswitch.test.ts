import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Ovs } from '../../../bench/nf/ovs.js';
import { ensurePackages } from '../../../src/host/packages.js';
import { AgentProcess } from '../../../src/lab/agent-process.js';
import { type StartNf, Testbed } from '../../../src/lab/testbed.js';
import { guardianDone } from '../../../src/nf/guardian.js';
import { harvest } from './harvest.js';

const POLL_PROFILE = `name: ovs-polling
match: { process: ^ovs-vswitchd, thread: ^pmd-c }
mode: poll
packetThreads: ^pmd-c
sloP99Us: 500
telemetry: { kind: ovs }
`;

describe('Open vSwitch with DPDK, from its Debian package', function () {
  this.timeout(180_000);
  const core = cpus().length - 1;
  let bed: Testbed | undefined;
  let ovs: Ovs;
  const maxSleep = () => ovs.vsctl('--if-exists', 'get', 'Open_vSwitch', '.', 'other_config:pmd-maxsleep');

  before(async function () {
    this.timeout(180_000);
    if (core < 1 || freemem() < 2.5e9) this.skip();
    await ensurePackages(['openvswitch-switch-dpdk']);
    const startNf: StartNf = async (place) => {
      ovs = await Ovs.start(place);
      return ovs;
    };
    bed = await Testbed.create({ startNf, cpu: core, housekeepingCpu: 0 });
    await bed.traffic.run({ kind: 'rate', packetsPerS: 10_000 });
  });
  after(() => bed?.close());

  it('is asked to sleep, harvested without loss, and polls again afterwards', async function () {
    const { measured, nf, functionsTook, calls, sloHeld, after, before } = await harvest(this, {
      core,
      isNf: ({ pid, mode }) => pid === ovs.pid && mode === 'sleep',
      pid: ovs.pid,
      config: ovs.config,
      measure: async () => ({ report: await bed!.traffic.measure(2), maxSleep: (await maxSleep()).trim() }),
    });
    expect(nf).to.include({ profile: 'ovs-vswitchd', mode: 'sleep' });
    expect(nf.cores).to.deep.equal([core]);
    expect(nf.threads.filter(({ packet }) => packet)).to.have.length(1);
    expect(measured.maxSleep).to.equal('"100"');
    expect(measured.report.sent).to.be.greaterThan(5_000);
    expect(measured.report.lost - measured.report.missedByReceiver).to.be.at.most(0);
    expect(calls).to.include({ failed: 0 });
    expect(functionsTook).to.be.greaterThan(0.3);
    expect(sloHeld).to.equal(true);
    expect((await maxSleep()).trim()).to.equal('');
    expect(after).to.equal(before);
  });

  it('gets its own setting back also when the agent is killed', async () => {
    const agent = await AgentProcess.start({
      cores: { functions: [core], housekeeping: [0] },
      ...ovs.config,
    });
    try {
      const asleep = await agent.until((frame) => frame.nfs.some((nf) => nf.mode === 'sleep'), 60_000);
      expect(asleep).to.equal(true);
      expect((await maxSleep()).trim()).to.equal('"100"');
      const ended = once(agent.child, 'exit');
      agent.child.kill('SIGKILL');
      await ended;
      expect(await guardianDone(agent.pid, 120_000)).to.equal(true);
      expect((await maxSleep()).trim()).to.equal('');
    } finally {
      await agent.stop();
    }
  });

  it('that may not be asked to sleep polls on: its core is left alone', async function () {
    const folder = mkdtempSync(join(tmpdir(), 'nemo-profiles-'));
    writeFileSync(join(folder, 'ovs-polling.yaml'), POLL_PROFILE);
    try {
      const { nf, events, measured } = await harvest(this, {
        core,
        isNf: ({ pid }) => pid === ovs.pid,
        pid: ovs.pid,
        harvested: false,
        config: { profileDirs: [folder], nfs: [{ profile: 'ovs-polling', pid: ovs.pid }] },
        measure: () => bed!.traffic.measure(1),
      });
      expect(nf).to.include({ profile: 'ovs-polling', mode: 'poll' });
      // The core reads 100 % busy; Open vSwitch itself knows how little of that had packets.
      expect(nf.telemetry).to.not.have.property('fault');
      expect(nf.telemetry!.packetsPerS).to.be.greaterThan(100);
      expect(nf.telemetry!.busyRatio).to.be.within(0.0001, 0.95);
      expect(nf.busyRatio).to.be.within(0.0001, 0.95);
      expect(measured.lost - measured.missedByReceiver).to.be.at.most(0);
      expect(events.map(({ message }) => message).join('\n')).to.include(
        `${nf.id} polls, and nothing of its core`,
      );
      expect((await maxSleep()).trim()).to.equal('');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
