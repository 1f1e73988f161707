/**
 * What a tap costs: CPU time of its thread, and what its filters add to the NF core, at 200,000 packets/s through the
 * kernel's own forwarding. Rounds with and without a tap take turns; believe their differences.
 *
 *   node dist/bench/tap.js [rounds] [seconds] [packets/s]
 */

import { readdirSync } from 'node:fs';
import { type StartNf, Testbed } from '../src/lab/testbed.js';
import { startTicks } from '../src/linux/process.js';
import { CpuStat, ThreadStat, Tick } from '../src/linux/procfs.js';
import { endProcess } from '../src/linux/tied-process.js';
import { startTap } from '../src/nf/latency/tap.js';

const NF_CORE = 1;
/** It finds its sampling rate, and its code is compiled only after some thousand packets. */
const WARM_UP_MS = 6_000;
const NF_STEPS = [
  // The traffic's frames are addressed to this one.
  'ip link set n0 address 02:00:00:00:00:02',
  'ip address add 10.250.0.1/30 dev n0',
  'ip address add 10.200.0.1/30 dev n1',
  'ip route add 10.0.0.0/9 dev n0',
  'ip route add 10.128.0.0/9 dev n1',
  'echo 1 > /proc/sys/net/ipv4/ip_forward',
  // /sys shows the interfaces of the namespace in which it was mounted.
  `unshare --mount sh -c 'mount -t sysfs none /sys && echo ${(1 << NF_CORE).toString(16)} > /sys/class/net/n0/queues/rx-0/rps_cpus'`,
  'echo ready; exec cat',
];

/** A namespace that routes from n0 to n1, its work steered to the NF core. */
const startRouter: StartNf = async ({ namespace }) => {
  const child = namespace.spawn('sh', ['-c', `set -e\n${NF_STEPS.join('\n')}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once('data', () => resolve());
    child.once('exit', () => reject(new Error('the router did not start')));
  });
  const ended = new Promise<undefined>((resolve) => child.once('exit', () => resolve(undefined)));
  return { pid: child.pid!, ended, close: () => endProcess(child) };
};

const threads = () => new Set(readdirSync('/proc/self/task').map(Number));

/** Share of a core that the threads of `tids` used while `action` ran, and of softirq work on the NF core. */
async function shares<T>(tids: Iterable<number>, action: () => Promise<T>) {
  const stats = [...tids].map((tid) => new ThreadStat(process.pid, tid));
  const stat = new CpuStat(NF_CORE + 1);
  const used = () => stats.reduce((sum, one) => sum + (one.read() ? one.runNs : 0), 0);
  const softirqTicks = () => {
    stat.read();
    return stat.get(NF_CORE, Tick.softirq) + stat.get(NF_CORE, Tick.irq);
  };
  const before = { used: used(), ticks: softirqTicks(), at: performance.now() };
  const result = await action();
  const wallMs = performance.now() - before.at;
  const figures = {
    tapRatio: (used() - before.used) / 1e6 / wallMs,
    nfSoftirqRatio: ((softirqTicks() - before.ticks) * 10) / wallMs,
  };
  for (const one of stats) one.close();
  stat.close();
  return { result, ...figures };
}

const [rounds = 3, seconds = 2, packetsPerS = 200_000] = process.argv.slice(2).map(Number);
const bed = await Testbed.create({ startNf: startRouter, cpu: NF_CORE, housekeepingCpu: 0 });
const ratios: number[] = [];
try {
  await bed.traffic.run({ kind: 'poisson', packetsPerS });
  for (let round = 0; round < rounds; round++) {
    const without = await shares([], () => bed.traffic.measure(seconds));
    const before = threads();
    const tap = await startTap({
      nf: { pid: bed.nfPid, startTicks: startTicks(bed.nfPid)! },
      ingress: 'n0',
      egress: 'n1',
      invariant: 'payload-tail',
    });
    const tids = [...threads()].filter((tid) => !before.has(tid));
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
    const from = tap.statistics();
    const measured = await shares(tids, () => bed.traffic.measure(seconds));
    const to = tap.statistics();
    await tap.close();
    ratios.push(measured.tapRatio);
    const loss = ({ result }: typeof measured) => result.lost / Math.max(1, result.sent);
    console.log(
      JSON.stringify({
        round,
        sentPerS: Math.round(measured.result.sent / seconds),
        oneIn: to.oneIn,
        matchedPerS: Math.round((to.matched - from.matched) / seconds),
        missed: to.missed - from.missed,
        tapRatio: Number(measured.tapRatio.toFixed(4)),
        nfSoftirqRatio: [without.nfSoftirqRatio, measured.nfSoftirqRatio].map((one) =>
          Number(one.toFixed(3)),
        ),
        lossRatio: [loss(without), loss(measured)].map((one) => Number(one.toFixed(4))),
      }),
    );
  }
  await bed.traffic.stop();
} finally {
  await bed.close();
}
ratios.sort((a, b) => a - b);
console.log(`tap thread: median ${(100 * ratios[ratios.length >> 1]!).toFixed(2)} % of a core`);
