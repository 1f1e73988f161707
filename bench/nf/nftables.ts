/** The kernel as an NF: routing, address translation and a filter between n0 and n1. */

import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StartNf } from '../../src/lab/testbed.js';
import { startProgram } from './programs.js';

/** Address translation and a filter that counts: what an edge router does. */
const RULES = `table ip nemo {
  chain forward { type filter hook forward priority 0; policy drop; ip protocol udp counter accept; }
  chain out { type nat hook postrouting priority 100; oifname "n1" snat to 10.200.0.1; }
}`;

/** A namespace that routes from n0 to n1; receive packet steering puts the work on the core. */
export const startRouter: StartNf = async ({ namespace, cpu }) => {
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
