import { writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ensurePackages } from '../../../src/linux/packages.js';
import { type StartNf, Testbed } from '../../../src/packet/testbed.js';
import { harvest } from './harvest.js';
import { startProgram } from './programs.js';

/** Address translation and a filter that counts: what an edge router does. */
const RULES = `table ip nemo {
  chain forward { type filter hook forward priority 0; policy drop; ip protocol udp counter accept; }
  chain out { type nat hook postrouting priority 100; oifname "n1" snat to 10.200.0.1; }
}`;

describe('kernel forwarding with nftables', function () {
  this.timeout(40_000);
  const core = cpus().length - 1;
  let bed: Testbed | undefined;

  before(async function () {
    this.timeout(180_000);
    if (core < 1) this.skip();
    await ensurePackages(['nftables']);
    bed = await Testbed.create({ startNf: startRouter, cpu: core, housekeepingCpu: 0 });
  });
  after(() => bed?.close());

  it('is harvested without loss; softirq time is its load and a tap behind its translation its latency', async () => {
    const { traffic, nfPid } = bed!;
    // Not at a fixed rate: 50 us divide the kernel's 4 ms tick, whose samples would then all hit the same phase.
    await traffic.run({ kind: 'poisson', packetsPerS: 20_000 });
    const latency = {
      source: 'tap' as const,
      ingress: 'n0',
      egress: 'n1',
      invariant: 'payload-tail' as const,
    };
    const { measured, nf, functionS, nfS, wallS, calls, sloHeld } = await harvest({
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
    expect(functionS / wallS).to.be.greaterThan(0.3);
    expect(sloHeld).to.equal(true);
  });
});

/** A namespace that routes from n0 to n1; receive packet steering puts the work on the core. */
const startRouter: StartNf = async ({ namespace, cpu }) => {
  const file = join(tmpdir(), `nemo-nft-${process.pid}`);
  writeFileSync(file, RULES);
  const mask = (1 << cpu).toString(16);
  const steps = [
    // The traffic's frames are addressed to this one.
    'ip link set n0 address 02:00:00:00:00:02',
    'ip address add 10.250.0.1/30 dev n0',
    'ip address add 10.200.0.1/30 dev n1',
    'ip route add 10.0.0.0/9 dev n0',
    'ip route add 10.128.0.0/9 dev n1',
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
    `nft -f ${file}`,
    `rm ${file}`,
    // /sys shows the interfaces of the namespace in which it was mounted.
    `unshare --mount sh -c 'mount -t sysfs none /sys && echo ${mask} > /sys/class/net/n0/queues/rx-0/rps_cpus'`,
    'echo ready; exec sleep infinity',
  ];
  return startProgram({
    namespace,
    command: 'sh',
    args: ['-c', `set -e\n${steps.join('\n')}`],
    ready: /^ready/m,
  });
};
