import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { expect } from 'chai';
import { createTestbed, type Testbed } from '../../src/lab/testbed.js';
import { getScheduling } from '../../src/linux/sched.js';
import { LatencyBuckets } from '../../src/model/latency-buckets.js';
import type { NfInstance } from '../../src/model/nf-profile.js';
import { discover } from '../../src/nf/discovery.js';
import { openLatencySource } from '../../src/nf/latency/open.js';
import { BUILTIN_PROFILES, loadProfiles } from '../../src/nf/profiles.js';
import { sharedLatencyPath, sweepSharedLatency } from '../../src/packet/shared-latency.js';
import { until } from '../support/waiting.js';

describe('a reference NF', () => {
  const core = cpus().length - 1;
  const profiles = loadProfiles([BUILTIN_PROFILES]);
  let testbed: Testbed;
  afterEach(() => testbed.close());
  const find = (): NfInstance => discover(profiles).find((nf) => nf.pid === testbed.nfPid)!;

  it('is found on its core, asleep, and reports the latency of the packets that it forwards', async function () {
    if (core < 1) this.skip();
    testbed = await createTestbed({ nfProfile: 'firewall', mode: 'sleep', cpu: core, housekeepingCpu: 0 });
    const nf = find();
    expect([nf.id, nf.profile.mode, nf.cores]).to.deep.equal([`firewall-${nf.pid}`, 'sleep', [core]]);
    expect(nf.threads.filter((thread) => thread.packet).map((thread) => thread.tid)).to.deep.equal([nf.pid]);
    expect(getScheduling(nf.pid).policy).to.equal('other');
    const source = openLatencySource({ kind: 'reported', pid: nf.pid });
    try {
      await testbed.traffic.run({ kind: 'rate', packetsPerS: 1000, seconds: 2 });
      const into = new LatencyBuckets();
      await until(() => source.sample(into) > 0);
      expect(source.fault).to.equal(undefined);
      expect(into.quantileNs(0.5)).to.be.within(100, 1e9);
    } finally {
      source.close();
    }
  });

  it('is found polling, and is another instance after a restart', async function () {
    if (core < 1) this.skip();
    testbed = await createTestbed({ nfProfile: 'lb', mode: 'poll', cpu: core, housekeepingCpu: 0 });
    const before = find();
    expect([before.profile.mode, before.profile.protection.kind]).to.deep.equal(['poll', 'none']);
    await testbed.restartNf();
    const after = find();
    expect(after.id).not.to.equal(before.id);
    // The killed one could not remove its report.
    sweepSharedLatency();
    expect(existsSync(sharedLatencyPath(before.pid))).to.equal(false);
    expect(existsSync(sharedLatencyPath(after.pid))).to.equal(true);
  });
});
