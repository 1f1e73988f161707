/**
 * The control thread for real: a reference NF under traffic, real cgroups with a real CPU burner in them, and the
 * loop that measures and throttles. Everything is waited for by the loop's own events and counters.
 */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { Control, type CulpritEvent, type LevelEvent } from '../../src/control/control.js';
import type { ControlNf } from '../../src/control/messages.js';
import { createTestbed, type Testbed } from '../../src/lab/testbed.js';
import type { Cgroup, CgroupDriver } from '../../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { spawnTied } from '../../src/linux/tied-process.js';
import { Core, type CoreField, Head, HORIZON_FIELDS, PACKET_SOURCES } from '../../src/model/board.js';
import { SharedLatencyWriter } from '../../src/packet/shared-latency.js';
import { FROZEN, OFF } from '../../src/policy/conflict/ladder.js';
import { PREDICTOR_NAMES } from '../../src/policy/harvest/prediction/predictor.js';
import { BURN, CONTROL_OPTIONS, NF_CORE } from '../support/control-setup.js';
import { until } from '../support/waiting.js';

const HOG = 'echo up; while :; do :; done';

describe('the control thread', function () {
  this.timeout(60_000);
  let bed: Testbed;
  let driver: CgroupDriver;
  let group: Cgroup;
  let burner: ChildProcess;
  let control: Control;
  let slot: number;
  /** With the state of the group's freezer, and the CPU time it had used, when the level was told. */
  let levels: Array<LevelEvent & { state: string; usedNs: number }>;

  before(async () => {
    bed = await createTestbed({ nfProfile: 'firewall', mode: 'sleep', cpu: NF_CORE, housekeepingCpu: 0 });
  });
  after(() => bed.close());

  beforeEach(async () => {
    driver = openCgroupDriver({ rootName: `nemo-test-control-${process.pid}`, idle: true });
    group = driver.create('sb-1', { cpus: [NF_CORE] });
    burner = spawnTied('/bin/sh', ['-c', BURN, 'burner', ...group.joinPaths], { stdio: 'ignore' });
    await until(() => group.usage().cpuNs > 20e6);
    control = await Control.start(CONTROL_OPTIONS);
    levels = [];
    control.on('level', (event) => {
      levels.push({ ...event, state: stateOf(group), usedNs: group.usage().cpuNs });
    });
    slot = control.addSandbox(NF_CORE, group.handle);
  });

  afterEach(async () => {
    await bed.traffic.stop();
    await control.stop();
    const ended = once(burner, 'exit');
    await driver.removeAll();
    await ended;
  });

  const nf = (sloUs: number): ControlNf => ({
    id: 'firewall',
    pid: bed.nfPid,
    cores: [NF_CORE],
    tids: tidsOf(bed.nfPid),
    packetTids: [bed.nfPid],
    sloUs,
    harvest: true,
    softirq: false,
    source: { kind: 'reported', pid: bed.nfPid },
  });
  const total = (field: (typeof Core)[keyof typeof Core]): number => control.board.get(NF_CORE, field);
  const untilLevel = (to: number) => until(() => levels.some((event) => event.to === to));

  it('freezes the busy one of two functions alone, and lets it go on later', async () => {
    const quiet = driver.create('sb-2', { cpus: [NF_CORE] });
    const command = ['-c', 'for f in "$@"; do echo 0 > "$f"; done; exec sleep 60', 'sh', ...quiet.joinPaths];
    const sleeper = spawnTied('/bin/sh', command, { stdio: 'ignore' });
    const ended = once(sleeper, 'exit');
    const quietSlot = control.addSandbox(NF_CORE, quiet.handle);
    const culprits: CulpritEvent[] = [];
    control.on('culprit', (event) => culprits.push(event));
    await bed.traffic.run({ kind: 'rate', packetsPerS: 20_000 });
    await until(() => total(Core.functionNs) > 100e6);
    // No packet is as quick as this: every one is above its SLO.
    control.setNfs([nf(1)]);
    await until(() => culprits.length > 0);
    expect(culprits[0]!.slot).to.equal(slot);
    expect(culprits.every((event) => event.slot !== quietSlot)).to.equal(true);
    control.setNfs([nf(10_000_000)]);
    const used = group.usage().cpuNs;
    await until(() => group.usage().cpuNs > used + 50e6);
    await quiet.kill();
    await ended;
  });

  for (const [what, storm] of [
    ['forks without end', '(:)'],
    ['takes and drops memory without end', 'dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null'],
  ] as const) {
    it(`freezes the one that ${what}, not the one beside it that uses as much CPU time`, async () => {
      // Not behind everybody else, so that they get their part of the core also on a busy machine.
      const eager = openCgroupDriver({ rootName: `nemo-test-eager-${process.pid}`, idle: false });
      const start = (name: string, command: string) => {
        const made = eager.create(name, { cpus: [NF_CORE], memoryMaxBytes: 256 * 1024 * 1024 });
        const loop = `for path; do echo 0 > "$path"; done; while :; do ${command}; done`;
        const child = spawnTied('/bin/sh', ['-c', loop, name, ...made.joinPaths], { stdio: 'ignore' });
        return { made, ended: once(child, 'exit'), slot: control.addSandbox(NF_CORE, made.handle) };
      };
      control.removeSandbox(slot);
      const [innocent, culprit] = [start('innocent', ':'), start('culprit', storm)];
      const culprits: CulpritEvent[] = [];
      control.on('culprit', (event) => culprits.push(event));
      // CPU time within a few milliseconds may speak first, and against anybody.
      const byCounters = () =>
        culprits.find(({ cause }) => / % of the (page faults|kernel time)/.test(cause));
      try {
        await bed.traffic.run({ kind: 'rate', packetsPerS: 5_000 });
        await until(() => culprit.made.usage().cpuNs > 200e6);
        // No packet is as quick as this: every one is above its SLO.
        control.setNfs([nf(1)]);
        await until(() => byCounters() !== undefined);
        expect(byCounters()).to.include({ slot: culprit.slot, core: NF_CORE });
      } finally {
        await eager.removeAll();
      }
      await Promise.all([innocent.ended, culprit.ended]);
    });
  }

  it('gives no place on a core that is barred, until it is free again', async () => {
    const places = () => [total(Core.harvestable), total(Core.budgetRunning)];
    control.setNfs([nf(0)], [NF_CORE]);
    await until(() => total(Core.hasNf) === 1);
    expect(places()).to.deep.equal([0, 0]);
    control.setNfs([nf(0)]);
    await until(() => total(Core.harvestable) === 1);
    expect(places()).to.deep.equal([1, 1]);
  });

  it('counts spare and harvested time as the kernel does', async () => {
    await bed.traffic.run({ kind: 'rate', packetsPerS: 20_000 });
    control.setNfs([nf(0)]);
    await until(() => total(Core.wallNs) > 200e6);
    let wall = 0;
    let nfNs = 0;
    let functionNs = 0;
    let kernel = { nf: 0, fn: 0 };
    // A loop that stood still while it was read tells of another time than the kernel: then it is read again.
    for (let elapsedNs = Number.POSITIVE_INFINITY; Math.abs(elapsedNs - wall) > 0.01 * wall; ) {
      const fromNs = process.hrtime.bigint();
      const before = { wall: total(Core.wallNs), nf: total(Core.nfNs), fn: total(Core.functionNs) };
      const kernelBefore = { nf: runNs(bed.nfPid), fn: group.usage().cpuNs };
      await until(() => total(Core.wallNs) - before.wall > 2_000e6);
      kernel = { nf: runNs(bed.nfPid) - kernelBefore.nf, fn: group.usage().cpuNs - kernelBefore.fn };
      wall = total(Core.wallNs) - before.wall;
      nfNs = total(Core.nfNs) - before.nf;
      functionNs = total(Core.functionNs) - before.fn;
      elapsedNs = Number(process.hrtime.bigint() - fromNs);
    }
    expect(kernel.nf).to.be.greaterThan(0);
    // Counters of running threads are up to a tick old, and the two readings are not the same moment.
    expect(nfNs / wall).to.be.closeTo(kernel.nf / wall, 0.03);
    expect(functionNs / wall).to.be.closeTo(kernel.fn / wall, 0.03);
    expect(total(Core.spareNs)).to.be.closeTo(
      total(Core.wallNs) - total(Core.nfNs) - total(Core.othersNs),
      total(Core.wallNs) * 0.01,
    );
    expect(total(Core.harvestedNs)).to.be.at.most(total(Core.spareNs));
    expect(functionNs).to.be.greaterThan(0);
    for (let at = Core.horizons as number; at < Core.horizons + 4 * HORIZON_FIELDS; at += HORIZON_FIELDS) {
      expect(PREDICTOR_NAMES[total(at as CoreField)]).to.be.a('string');
      expect(total((at + 1) as CoreField)).to.be.within(0, 1);
      expect(total((at + 2) as CoreField)).to.be.within(0.1, 1);
    }
    expect(levels).to.deep.equal([]);
  });

  it('freezes on a severe conflict, so that functions really stop, goes off the core, and comes back', async () => {
    await bed.traffic.run({ kind: 'rate', packetsPerS: 5_000 });
    const warnings: string[] = [];
    control.on('warning', (message) => warnings.push(message));
    // An SLO that no packet holds.
    control.setNfs([nf(0.5)]);
    await untilLevel(FROZEN);
    expect(total(Core.budgetRunning)).to.equal(0);
    await until(() => levels.some((event) => event.to === OFF));
    // From freezing to `off` it used nothing but what was still being counted.
    expect(levels[1]!.usedNs - levels[0]!.usedNs).to.be.lessThan(30e6);
    expect(levels.slice(0, 2).map((event) => event.to)).to.deep.equal([FROZEN, OFF]);
    expect(levels[0]!.reactionUs).to.be.greaterThan(0);
    expect(levels[0]!.cause).to.include('above the SLO');
    // The NF told when the kernel received the packet.
    await until(() => control.board.head(Head.packetReactions) > 0);
    expect(control.board.head(Head.packetReactionP50Us)).to.be.greaterThan(0);
    expect(control.board.head(Head.packetSources)).to.equal(PACKET_SOURCES.reported);
    expect(total(Core.conflicts)).to.be.at.least(1);
    await until(() => warnings.length > 0);
    expect(warnings[0]).to.include('not met even without functions');
    expect(levels.map((event) => event.to)).to.deep.equal([FROZEN, OFF]);

    await bed.traffic.stop();
    await untilLevel(0);
    expect(total(Core.budgetRunning)).to.equal(1);
    const recovered = group.usage().cpuNs;
    await until(() => group.usage().cpuNs > recovered + 50e6);
    expect(total(Core.throttledNs)).to.be.greaterThan(0);
  });

  it('looks at once when an NF rings, not only at its ticks', async () => {
    // This process stands for an NF of which three packets in ten thousand are late: worth a look, but no conflict.
    const report = SharedLatencyWriter.create();
    const own = {
      pid: process.pid,
      tids: [],
      packetTids: [],
      source: { kind: 'reported', pid: process.pid } as const,
    };
    control.setNfs([{ ...nf(500), ...own }]);
    const looks = () => control.board.head(Head.bellLooks);
    await until(() => {
      for (let i = 0; i < 10_000; i++) report.buckets.record(i < 9_997 ? 1e4 : 1e6);
      for (let i = 0; i < 3; i++) report.doorbell.passed(1e6);
      report.doorbell.done(performance.now() * 1e6);
      return looks() > 3;
    });
    expect(levels.filter(({ cause }) => cause.includes('SLO'))).to.deep.equal([]);
    report.close();
  });

  it('moves functions away from an NF that needs its whole core, and lets them come back', async () => {
    const hog = spawnTied('/usr/bin/taskset', ['-c', `${NF_CORE}`, 'chrt', '-f', '50', 'sh', '-c', HOG], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const ended = once(hog, 'exit');
    await once(hog.stdout!, 'data');
    const pid = hog.pid!;
    control.setNfs([
      {
        ...nf(10_000_000),
        pid,
        tids: [pid],
        packetTids: [pid],
        source: { kind: 'runqueue', pid, tids: [pid] },
      },
    ]);
    await untilLevel(OFF);
    expect(levels[0]!.to).to.equal(FROZEN);
    expect(levels[0]!.cause).to.include('leaves nothing of its core');
    // FREEZING: v1 freezes a thread when it gets the core.
    expect(levels[0]!.state).to.be.oneOf(['FROZEN', 'FREEZING']);
    process.kill(pid, 'SIGSTOP');
    await untilLevel(0);
    const used = group.usage().cpuNs;
    await until(() => group.usage().cpuNs > used + 50e6);
    process.kill(pid, 'SIGKILL');
    await ended;
  });

  it('goes on watching a sandbox that left its core and came back', async () => {
    control.moveSandbox(slot, 0);
    group.setCpus([0]);
    await until(() => group.usage().cpuNs > 50e6);
    group.setCpus([NF_CORE]);
    control.moveSandbox(slot, NF_CORE);
    await bed.traffic.run({ kind: 'rate', packetsPerS: 5_000 });
    control.setNfs([nf(0.5)]);
    await untilLevel(FROZEN);
    // FREEZING: v1 freezes a thread when it gets the core, for which it may wait behind strays.
    expect(levels.find((event) => event.to === FROZEN)!.state).to.be.oneOf(['FROZEN', 'FREEZING']);
  });

  it('gives all back when the NF leaves a core that is throttled', async () => {
    await bed.traffic.run({ kind: 'rate', packetsPerS: 5_000 });
    control.setNfs([nf(0.5)]);
    await untilLevel(OFF);
    control.setNfs([{ ...nf(0.5), cores: [0] }]);
    await untilLevel(0);
    expect(total(Core.budgetRunning)).to.equal(1);
    expect(total(Core.hasNf)).to.equal(0);
    const used = group.usage().cpuNs;
    await until(() => group.usage().cpuNs > used + 50e6);
  });

  it('leaves nothing frozen and nothing capped when it stops', async () => {
    await bed.traffic.run({ kind: 'rate', packetsPerS: 5_000 });
    control.setNfs([nf(0.5)]);
    await untilLevel(FROZEN);
    // The group that keeps freezing quick.
    expect(driver.list().includes('still')).to.equal(group.handle.version === 'v1');
    await control.stop();
    expect(driver.list()).to.not.include('still');
    expect(stateOf(group)).to.equal('THAWED');
    expect(quotaOf(group)).to.match(/^(-1|max \d+)$/);
    const before = group.usage().cpuNs;
    await until(() => group.usage().cpuNs > before + 20e6);
  });

  it('slows down while nothing runs, and is at full rate again with the first call', async () => {
    const hz = () => control.board.head(Head.hz);
    await until(() => hz() > 200);
    control.setBusy(slot, false);
    control.relax();
    await until(() => hz() < 100);
    expect(hz()).to.be.below(100);
    control.setBusy(slot, true);
    await until(() => hz() > 200);
  });
});

function tidsOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number);
}

function runNs(pid: number): number {
  let sum = 0;
  for (const tid of tidsOf(pid)) {
    sum += Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ')[0]);
  }
  return sum;
}

/** In v1's words. */
function stateOf({ handle }: Cgroup): string {
  const text = readFileSync(handle.freezePath!, 'latin1').trim();
  return handle.version === 'v1' ? text : text === '1' ? 'FROZEN' : 'THAWED';
}

function quotaOf({ handle }: Cgroup): string {
  return readFileSync(handle.quotaPath!, 'latin1').trim();
}
