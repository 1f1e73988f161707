/**
 * The slice gate measured: a polling reference firewall, alone and with an agent that lends its core, in turn.
 * `NEMO_SLICE_GATE=1 node dist/bench/gate.js [rounds] [seconds] [sloUs ...]`. The SLO is what sizes the slices, so each SLO is a policy.
 */

import { performance } from 'node:perf_hooks';
import { createTestbed } from '../src/packet/testbed.js';
import { AgentProcess } from './agent-process.js';
import { Callers } from './callers.js';
import { BUSY_CODE } from './round.js';
import { median } from './summary.js';

const [rounds = 3, seconds = 3, ...slos] = process.argv.slice(2).map(Number);
const SLOS = slos.length > 0 ? slos : [400, 130];
const CORE = 1;

interface Row {
  p50: number;
  p99: number;
  lost: number;
  sent: number;
  harvested: number;
  calls: number;
  noise: number;
}

const testbed = await createTestbed({ nfProfile: 'firewall', mode: 'poll', cpu: CORE, housekeepingCpu: 0 });
const rows = new Map<string, Row[]>();
try {
  await testbed.traffic.run({ kind: 'rate', packetsPerS: 50_000 });
  for (let round = 0; round < rounds; round++) {
    for (const policy of ['solo', ...SLOS.map((slo) => `slo ${slo} us`)]) {
      const row = policy === 'solo' ? await measure() : await shared(Number(policy.split(' ')[1]));
      rows.set(policy, [...(rows.get(policy) ?? []), row]);
      process.stdout.write(`${round} ${policy}: ${JSON.stringify(row)}\n`);
    }
  }
} finally {
  await testbed.close();
}
const solo = middle(rows.get('solo')!, 'p99');
for (const [policy, list] of rows) {
  const p99 = middle(list, 'p99');
  const lost = list.reduce((sum, row) => sum + row.lost, 0);
  process.stdout.write(
    `${policy.padEnd(12)} p50 ${middle(list, 'p50').toFixed(1)} us, p99 ${p99.toFixed(0)} us (solo ${(p99 - solo).toFixed(0)} more), ` +
      `harvested ${(middle(list, 'harvested') * 100).toFixed(1)} %, lost ${lost} of ${list.reduce((sum, row) => sum + row.sent, 0)}\n`,
  );
}

function middle(list: readonly Row[], key: keyof Row): number {
  return median(list.map((row) => row[key])) ?? Number.NaN;
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
    // Without the ladder: what is measured is the gate, and the host's own noise breaks such SLOs even solo.
    policy: 'nemo-no-conflict',
    cores: { functions: [CORE], housekeeping: [0] },
    nfs: [{ profile: 'firewall', overrides: { mode: 'poll', sloP99Us: sloUs } }],
  });
  const callers = new Callers(agent.url, 2);
  try {
    await agent.deploy('busy', BUSY_CODE);
    const warm = await agent.until(
      (frame) => frame.functions.some((fn) => fn.sandboxes.some((sandbox) => sandbox.state === 'warm')),
      15_000,
    );
    if (!warm) process.stdout.write(`not warm: ${JSON.stringify((await agent.status()).events.slice(-5))}\n`);
    callers.start('/function/busy?ms=5');
    await new Promise((done) => setTimeout(done, 1_000));
    callers.take();
    const used = async () => (await agent.status()).cores.find((core) => core.core === CORE)!;
    const before = (await used()).totals;
    const from = performance.now();
    const row = await measure();
    const after = await used();
    const wallS = (performance.now() - from) / 1000;
    process.stdout.write(
      `  gate ${JSON.stringify(after.gate)}, level ${after.throttleName}, conflicts ${after.conflicts}\n`,
    );
    const harvested = (after.totals.functionS - before.functionS) / wallS;
    return { ...row, harvested, calls: callers.take().completed };
  } finally {
    await callers.stop();
    await agent.stop();
  }
}
