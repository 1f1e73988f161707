import { cpus } from 'node:os';
import { expect } from 'chai';
import { startRouter } from '../../../bench/nf/nftables.js';
import { ensurePackages } from '../../../src/host/packages.js';
import { Testbed } from '../../../src/lab/testbed.js';
import { harvest } from './harvest.js';

describe('kernel forwarding with nftables', function () {
  this.timeout(180_000);
  const core = cpus().length - 1;
  let bed: Testbed | undefined;

  before(async function () {
    this.timeout(180_000);
    if (core < 1) this.skip();
    await ensurePackages(['nftables']);
    bed = await Testbed.create({ startNf: startRouter, cpu: core, housekeepingCpu: 0 });
  });
  after(() => bed?.close());

  it('is harvested without loss; softirq time is its load and a tap behind its translation its latency', async function () {
    const { traffic, nfPid } = bed!;
    // Not at a fixed rate: 50 us divide the kernel's 4 ms tick, whose samples would then all hit the same phase.
    await traffic.run({ kind: 'poisson', packetsPerS: 20_000 });
    const latency = {
      source: 'tap' as const,
      ingress: 'n0',
      egress: 'n1',
      invariant: 'payload-tail' as const,
    };
    const { measured, nf, functionsTook, nfS, wallS, calls, sloHeld } = await harvest(this, {
      core,
      isNf: ({ pid, p99Us }) => pid === nfPid && p99Us !== null,
      pid: 0,
      config: { nfs: [{ profile: 'nftables', pid: nfPid, overrides: { cores: [core], latency } }] },
      measure: () => traffic.measure(2),
    });
    await traffic.stop();
    expect(nf).to.include({
      id: `nftables-${nfPid}`,
      mode: 'sleep',
      latencySource: 'tap',
      protection: 'none',
    });
    expect(nf.threads).to.deep.equal([]);
    expect(nf.cores).to.deep.equal([core]);
    expect(nfS / wallS).to.be.within(0.005, 0.95);
    expect(measured.sent).to.be.greaterThan(10_000);
    expect(measured.lost - measured.missedByReceiver).to.be.at.most(0);
    expect(calls).to.include({ failed: 0 });
    expect(functionsTook).to.be.greaterThan(0.3);
    expect(sloHeld).to.equal(true);
  });
});
