/** From the name of an NF in a scenario to its bed. Installs the Debian package that it needs. */

import { ensurePackages } from '../../src/host/packages.js';
import type { RunningNf, StartNf } from '../../src/lab/testbed.js';
import type { Scenario } from '../scenarios.js';
import { startRouter } from './nftables.js';
import { Ovs } from './ovs.js';
import { createPacketSetup, type PacketNf, referenceChain } from './packet-setup.js';
import { createRequestSetup } from './request-setup.js';
import type { TestSetup } from './test-setup.js';
import { startTestpmd } from './testpmd.js';

const PACKAGES: Record<string, string> = {
  testpmd: 'dpdk-dev',
  ovs: 'openvswitch-switch-dpdk',
  nginx: 'nginx-light',
  haproxy: 'haproxy',
  nftables: 'nftables',
};

/** A rule that no packet of the traffic fits, but that costs the look at its addresses. */
const RULES = Array.from({ length: 2_000 }, (_, i) => ({
  action: 'deny',
  protocol: 'udp',
  source: `192.168.${i % 256}.0/24`,
}));

/** The tunnel's defaults seen from the other side. */
const FAR_END = { local: '198.51.100.2', remote: '198.51.100.1' };

/** Scenarios with the same key can share a bed. */
export function bedKey({ nfs, mode, loadRatio }: Scenario): string {
  return `${nfs.join('+')}:${mode}${loadRatio === null ? '' : ':filled'}`;
}

/** Throws what starting the NF throws; MISSING_PACKAGE where it cannot be installed. */
export async function openTestSetup(
  scenario: Scenario,
  cpu: number,
  housekeepingCpu: number,
): Promise<TestSetup> {
  const [first] = scenario.nfs as [string];
  const needed = PACKAGES[first];
  if (needed !== undefined) await ensurePackages([needed]);
  if (first === 'nginx' || first === 'haproxy') return createRequestSetup(first, cpu, housekeepingCpu);
  const { capture } = scenario;
  const nf = { ...packetNf(scenario, cpu), ...(capture !== undefined && { capture }) };
  return createPacketSetup(nf, cpu, housekeepingCpu);
}

function packetNf({ nfs, mode, loadRatio }: Scenario, cpu: number): PacketNf {
  const [first] = nfs as [string];
  switch (first) {
    case 'testpmd':
      return single(startTestpmd);
    case 'ovs': {
      let ovs: Ovs | undefined;
      const start: StartNf = async (place) => {
        ovs = await Ovs.start(place);
        return ovs;
      };
      return { ...single(start), ready: (nf) => nf.mode === 'sleep', config: () => ovs!.config };
    }
    case 'nftables': {
      const latency = {
        source: 'tap' as const,
        ingress: 'n0',
        egress: 'n1',
        invariant: 'payload-tail' as const,
      };
      return {
        ...single(startRouter),
        softirq: true,
        config: ([pid]) => ({
          nfs: [{ profile: 'nftables', pid: pid!, overrides: { cores: [cpu], latency } }],
        }),
      };
    }
  }
  // One end alone would send packets that nobody can read.
  if (nfs.join() === 'tunnel') {
    return {
      ...referenceChain(['tunnel', 'tunnel'], mode, { swapLast: true, configs: [{}, FAR_END] }),
      nfCost: 'both ends of the tunnel are on the core, frames of 600 bytes',
      frames: { frameBytes: 600 },
    };
  }
  // A share of the NF's capacity asks for an NF that can be filled: the defaults outrun the generator.
  if (loadRatio !== null && nfs.join() === 'firewall') {
    return {
      ...referenceChain(nfs, mode, { configs: [{ rules: RULES, datagramTimeoutMs: 1 }] }),
      nfCost: `an access list of ${RULES.length} rules, asked for every packet: each opens a flow (4,096 short flows)`,
      frames: { flows: 4_096 },
    };
  }
  if (loadRatio !== null && nfs.join() === 'dpi') {
    return {
      ...referenceChain(nfs, mode),
      nfCost: 'frames of 1,400 bytes',
      frames: { frameBytes: 1_400 },
    };
  }
  return referenceChain(nfs, mode);
}

function single(startNf: StartNf): PacketNf {
  let running: RunningNf | undefined;
  return {
    pids: () => [running!.pid],
    startNf: async (place) => {
      running = await startNf(place);
      return running;
    },
  };
}
