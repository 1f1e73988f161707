import { cpus } from 'node:os';
import { expect } from 'chai';
import { startTestpmd } from '../../../bench/nf/testpmd.js';
import { ensurePackages } from '../../../src/host/packages.js';
import { Testbed } from '../../../src/lab/testbed.js';
import { harvest } from './harvest.js';

describe('dpdk-testpmd, from its Debian package', function () {
  this.timeout(180_000);
  const core = cpus().length - 1;
  let bed: Testbed | undefined;

  before(async function () {
    this.timeout(180_000);
    if (core < 1) this.skip();
    await ensurePackages(['dpdk-dev']);
    bed = await Testbed.create({ startNf: startTestpmd, cpu: core, housekeepingCpu: 0 });
  });
  after(() => bed?.close());

  it('is found polling, and loses nothing: without help its core is left alone, and the agent says so', async function () {
    const { traffic, nfPid } = bed!;
    await traffic.run({ kind: 'rate', packetsPerS: 20_000 });
    const { measured, nf, nfTook, events, before, after } = await harvest(this, {
      core,
      isNf: ({ pid }) => pid === nfPid,
      pid: nfPid,
      harvested: false,
      measure: () => traffic.measure(2),
    });
    await traffic.stop();
    expect(nf).to.include({ profile: 'dpdk-testpmd', mode: 'poll', protection: 'none' });
    expect(nf.cores).to.deep.equal([core]);
    expect(nf.threads.filter(({ packet }) => packet).map(({ name }) => name)).to.deep.equal([
      `rte-worker-${core}`,
    ]);
    // DPDK 22.11 does not count busy cycles yet: all that it gets of its core reads busy.
    expect(nfTook).to.be.greaterThan(0.9);
    expect(nf.busyRatio).to.be.greaterThan(0.1);
    expect(nf.telemetry).to.include({ busyRatio: null, drops: 0 }).and.not.to.have.property('fault');
    expect(nf.telemetry!.packetsPerS).to.be.greaterThan(100);
    expect(measured.sent).to.be.greaterThan(10_000);
    expect(measured.lost - measured.missedByReceiver).to.be.at.most(0);
    expect(events.map(({ message }) => message).join('\n')).to.include(
      `${nf.id} polls, and nothing of its core`,
    );
    expect(after).to.equal(before);
  });
});
