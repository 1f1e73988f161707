/**
 * The slice gate measured beside DPDK's testpmd at 50,000 packets/s: alone, and with an agent that lends its core, in
 * turn. An SLO is what sizes the slices, so each bound above solo is a policy of its own.
 * `node dist/bench/gate.js [rounds] [seconds] [boundUs ...]`
 */

import { ensurePackages } from '../src/host/packages.js';
import { AgentProcess } from '../src/lab/agent-process.js';
import { Callers } from '../src/lab/callers.js';
import { Testbed } from '../src/lab/testbed.js';
import { setProcessAffinity } from '../src/linux/sched.js';
import { startTestpmd } from './nf/testpmd.js';
import { median } from './statistics.js';
import { BUSY_CODE } from './workloads.js';

const CORE = 1;
const PACKETS_PER_S = 50_000;

interface Row {
  p50: number;
  p99: number;
  lost: number;
  sent: number;
  harvested: number;
  calls: number;
  noise: number;
}

const [rounds = 3, seconds = 3, ...given] = process.argv.slice(2).map(Number);
const bounds = given.length > 0 ? given : [150, 60];
await ensurePackages(['dpdk-dev']);
// The callers must not wait for the NF's core.
setProcessAffinity(process.pid, [0]);
const testbed = await Testbed.create({ startNf: startTestpmd, cpu: CORE, housekeepingCpu: 0 });
const rows = new Map<string, Row[]>([['solo', []]]);
const middle = (list: readonly Row[], key: keyof Row): number =>
  median(list.map((row) => row[key])) ?? Number.NaN;
try {
  await testbed.traffic.run({ kind: 'rate', packetsPerS: PACKETS_PER_S });
  for (let round = 0; round < rounds; round++) {
    for (const policy of ['solo', ...bounds]) {
      const sloUs = typeof policy === 'number' ? Math.ceil(middle(rows.get('solo')!, 'p99') + policy) : 0;
      const row = sloUs === 0 ? await measure() : await shared(sloUs);
      const name = sloUs === 0 ? 'solo' : `solo + ${policy} us`;
      rows.set(name, [...(rows.get(name) ?? []), row]);
      process.stdout.write(
        `${round} ${name}${sloUs === 0 ? '' : `, SLO ${sloUs}`}: ${JSON.stringify(row)}\n`,
      );
    }
  }
} finally {
  await testbed.close();
}
const solo = middle(rows.get('solo')!, 'p99');
for (const [policy, list] of rows) {
  const p99 = middle(list, 'p99');
  const sum = (key: keyof Row): number => list.reduce((total, row) => total + row[key], 0);
  process.stdout.write(
    `${policy.padEnd(14)} p50 ${middle(list, 'p50').toFixed(1)} us, p99 ${p99.toFixed(0)} us (solo ${(p99 - solo).toFixed(0)} more), ` +
      `harvested ${(middle(list, 'harvested') * 100).toFixed(1)} %, lost ${sum('lost')} of ${sum('sent')}\n`,
  );
}

async function measure(): Promise<Row> {
  const report = await testbed.traffic.measure(seconds);
  const { latency_us: latency } = report;
  return {
    p50: latency.p50 ?? Number.NaN,
    p99: latency.p99 ?? Number.NaN,
    lost: report.lost - report.missedByReceiver,
    sent: report.sent,
    harvested: 0,
    calls: 0,
    noise: report.noise_us.p99 ?? Number.NaN,
  };
}

async function shared(sloUs: number): Promise<Row> {
  const agent = await AgentProcess.start({
    cores: { functions: [CORE], housekeeping: [0] },
    discovery: false,
    nfs: [{ profile: 'dpdk-testpmd', overrides: { slices: true, sloP99Us: sloUs } }],
  });
  const callers = new Callers(agent.url, 2);
  try {
    await agent.deploy('busy', BUSY_CODE);
    if (
      !(await agent.until(
        (frame) => frame.functions[0]?.sandboxes.some((s) => s.state === 'warm') ?? false,
        15_000,
      ))
    ) {
      process.stdout.write(`not warm: ${JSON.stringify((await agent.status()).events.slice(-5))}\n`);
    }
    callers.start('/function/busy?ms=5');
    await new Promise((done) => setTimeout(done, 1_000));
    callers.take();
    const core = async () => (await agent.status()).cores.find((one) => one.core === CORE)!;
    const before = (await core()).totals;
    const row = await measure();
    const after = await core();
    const { gate, throttleName, conflicts } = after;
    process.stdout.write(`  gate ${JSON.stringify(gate)}, level ${throttleName}, conflicts ${conflicts}\n`);
    const harvested =
      (after.totals.functionS - before.functionS) / Math.max(0.001, after.totals.wallS - before.wallS);
    return { ...row, harvested, calls: callers.take().completed };
  } catch (thrown) {
    process.stdout.write(`${agent.log()}\n`);
    throw thrown;
  } finally {
    await callers.stop();
    await agent.stop();
  }
}
