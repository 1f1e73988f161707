/**
 * Real programs on both sides of a reference NF: two hosts in namespaces of their own, the NF in a third between them.
 *
 *   near e0 ---- n0 NF n1 ---- e0 far            (a tunnel: two NFs, a link between them)
 *
 * Unlike in a test bed the kernel speaks: addresses, neighbours, offloads as they are by default.
 */

import { once } from 'node:events';
import { type RunningNf, startReferenceNf } from '../../src/lab/testbed.js';
import { connect, createNamespace, type Namespace } from '../../src/linux/netns.js';

export const NEAR = { mac: '02:00:00:00:00:0a', v4: '10.9.0.1', v6: 'fd09::1' };
export const FAR = { mac: '02:00:00:00:00:0b', v4: '10.9.0.2', v6: 'fd09::2' };
/** What the near side calls the far one through the load balancer, and what the far side sees of the near one behind NAT. */
const SERVICE = { v4: '10.9.0.100', v6: 'fd09::100' };
const EXTERNAL = '10.9.0.200';

const CONFIGS: Record<string, unknown> = {
  nat: { externalAddress: EXTERNAL },
  lb: {
    services: [SERVICE.v4, SERVICE.v6].map((address, i) => ({
      address,
      backends: [{ address: i === 0 ? FAR.v4 : FAR.v6 }],
    })),
  },
};
const MIRRORED_TUNNEL = { local: '198.51.100.2', remote: '198.51.100.1' };

export interface WorldOptions {
  nf: string;
  config?: unknown;
  /** Of every interface; 1500. */
  mtu?: number;
  /** VLAN tags between the hosts, from the outer to the inner: `802.1ad 100`. */
  vlans?: readonly string[];
}

/** Some kernels are built without: only bare frames can then have a tag. */
export async function hasVlanDevices(): Promise<boolean> {
  const namespace = await createNamespace();
  try {
    await namespace.run('ip', ['link', 'add', 'link', 'lo', 'name', 'v0', 'type', 'vlan', 'id', '1']);
    return true;
  } catch (thrown) {
    return !String(thrown).includes('Unknown device type');
  } finally {
    await namespace.close();
  }
}

export class TrafficWorld {
  private constructor(
    readonly near: Namespace,
    readonly far: Namespace,
    private readonly closers: Array<() => Promise<unknown>>,
    private readonly nf: string,
  ) {}

  static async create(options: WorldOptions): Promise<TrafficWorld> {
    const { nf, mtu = 1500, vlans = [] } = options;
    const closers: Array<() => Promise<unknown>> = [];
    try {
      const made = await Promise.all([createNamespace(), createNamespace(), createNamespace()]);
      closers.push(...made.map((one) => () => one.close()));
      const [near, far, middle] = made;
      await connect(near, 'e0', middle, 'n0', { mtu });
      await connect(middle, 'n1', far, 'e0', { mtu });
      for (const running of await startNfs(middle, options)) closers.unshift(() => running.close());
      // A tunnel makes frames longer than they were.
      const hostMtu = nf === 'tunnel' ? mtu - 100 : mtu;
      await Promise.all([setUp(near, NEAR, FAR, hostMtu, vlans), setUp(far, FAR, NEAR, hostMtu, vlans)]);
      return new TrafficWorld(near, far, closers, nf);
    } catch (thrown) {
      for (const close of closers) await close();
      throw thrown;
    }
  }

  /** How the near side calls the far one. */
  address(version: 4 | 6): string {
    const to = this.nf === 'lb' ? SERVICE : FAR;
    return version === 4 ? to.v4 : to.v6;
  }

  /** A program on the far side that runs until the world closes; resolves with its first line of output. */
  async serve(command: string, args: readonly string[]): Promise<string> {
    const child = this.far.spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.closers.unshift(async () => {
      if (child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'close');
    });
    const [line] = (await once(child.stdout!, 'data')) as [Buffer];
    return String(line);
  }

  async close(): Promise<void> {
    for (const close of this.closers) await close();
  }
}

async function startNfs(middle: Namespace, { nf, config }: WorldOptions): Promise<RunningNf[]> {
  const place = { mode: 'sleep', cpu: 1 } as const;
  const given = config ?? CONFIGS[nf] ?? {};
  if (nf !== 'tunnel') {
    return [await startReferenceNf(middle, { profile: nf, in: 'n0', out: 'n1', config: given, ...place })];
  }
  await connect(middle, 'm0', middle, 'm1', { mtu: 1600 });
  const tunnel = { profile: 'tunnel', ...place };
  return Promise.all([
    startReferenceNf(middle, { ...tunnel, in: 'n0', out: 'm0', config: given }),
    startReferenceNf(middle, {
      ...tunnel,
      in: 'n1',
      out: 'm1',
      config: { ...(given as object), ...MIRRORED_TUNNEL },
    }),
  ]);
}

async function setUp(
  host: Namespace,
  own: typeof NEAR,
  other: typeof NEAR,
  mtu: number,
  vlans: readonly string[],
): Promise<void> {
  const script = [
    'set -e',
    'echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6',
    `ip link set e0 address ${own.mac} mtu ${mtu}`,
    'dev=e0',
    ...vlans.flatMap((vlan, i) => {
      const [protocol, id] = vlan.split(' ');
      return [
        `ip link add link $dev name v${i} type vlan protocol ${protocol} id ${id}`,
        `dev=v${i}`,
        'ip link set $dev up',
      ];
    }),
    `ip addr add ${own.v4}/24 dev $dev`,
    `ip -6 addr add ${own.v6}/64 dev $dev nodad`,
    // The router carries no ARP, and nobody answers for addresses that an NF makes.
    ...[other.v4, other.v6, SERVICE.v4, SERVICE.v6, EXTERNAL].map(
      (address) => `ip neigh replace ${address} lladdr ${other.mac} dev $dev nud permanent`,
    ),
  ];
  await host.run('sh', ['-c', script.join('\n')]);
}
