/** One round of one policy: the same NF under the same traffic, with or without functions beside it. */

import { Client } from 'undici';
import { policyByName } from '../src/harvest/policies.js';
import { onlineCores } from '../src/linux/online-cores.js';
import type { Testbed } from '../src/packet/testbed.js';
import type { FeedCore } from '../src/telemetry/feed.js';
import { AgentProcess } from './agent-process.js';
import { Callers, timeFirstByte } from './callers.js';
import { cpuTimeNs } from './cpu-time.js';
import type { Scenario } from './scenarios.js';
import { median } from './statistics.js';
import type { BenchRound } from './types.js';

/** The measured function: uses the milliseconds of CPU that the query asks for, however often it is interrupted. */
export const BUSY_CODE = `export default async (event, context) => {
  const wantedUs = 1000 * Number(new URLSearchParams(context.query).get('ms') ?? 5);
  const usedUs = () => { const { user, system } = process.cpuUsage(from); return user + system; };
  const from = process.cpuUsage();
  let sum = 0;
  do { for (let i = 0; i < 20000; i++) sum = (sum * 31 + i) | 0; } while (usedUs() < wantedUs);
  return { sum };
};`;

export const NOOP_CODE = `export default async () => 'ok';`;

/** Settling time after the callers start, so that cold starts of the callers' own sandboxes are over. */
const SETTLE_MS = 700;
const PREWARM_LIMIT_MS = 10_000;

export interface RoundOptions {
  testbed: Testbed;
  scenario: Scenario;
  policy: string;
  round: number;
  seconds: number;
  nfCore: number;
}

export async function runRound(options: RoundOptions): Promise<BenchRound> {
  return options.policy === 'solo' ? soloRound(options) : sharedRound(options);
}

async function soloRound(options: RoundOptions): Promise<BenchRound> {
  const nf = cpuTimeNs(options.testbed.nfPid);
  const from = performance.now();
  const report = await options.testbed.traffic.measure(options.seconds);
  const wallUs = (performance.now() - from) * 1000;
  const nfUs = nf() / 1000;
  return {
    policy: options.policy,
    round: options.round,
    ...packets(report),
    core: { wall_us: wallUs, nf_us: nfUs, function_us: 0, spare_us: wallUs - nfUs },
    functions: {
      completed: 0,
      failed: 0,
      latency_ms: { p50: null, p99: null },
      start_ms: { p50: null, p99: null },
      starts: { cold: 0, stem: 0, warm: 0 },
    },
  };
}

async function sharedRound(options: RoundOptions): Promise<BenchRound> {
  const { scenario, testbed, nfCore } = options;
  const agent = await AgentProcess.start({
    policy: options.policy,
    cores: { functions: [nfCore], housekeeping: onlineCores().filter((core) => core !== nfCore) },
  });
  const callers = new Callers(agent.url, scenario.callers);
  const prober = new Client(agent.url, { bodyTimeout: 60_000, headersTimeout: 60_000 });
  try {
    await agent.deploy('busy', BUSY_CODE);
    const probes = Array.from({ length: scenario.startProbes }, (_, i) => `start-${options.round}-${i}`);
    for (const name of probes) await agent.deploy(name, NOOP_CODE);
    await agent.until((frame) => frame.nfs.length > 0, 3_000);
    // A platform that prewarms gets the time for it; one that does not has nothing to wait for.
    if (policyByName(options.policy).prewarm) {
      await agent.until(
        (frame) => frame.functions.every((fn) => fn.sandboxes.some((sandbox) => sandbox.state === 'warm')),
        PREWARM_LIMIT_MS,
      );
    }
    callers.start(`/function/busy?ms=${scenario.functionMs}`);
    await new Promise((done) => setTimeout(done, SETTLE_MS));

    callers.take();
    const before = coreOf(await agent.status(), nfCore);
    const nf = cpuTimeNs(testbed.nfPid);
    const from = performance.now();
    const starts = probeStarts(prober, probes, options.seconds * 1000);
    const report = await testbed.traffic.measure(options.seconds);
    const wallUs = (performance.now() - from) * 1000;
    const nfUs = nf() / 1000;
    const after = coreOf(await agent.status(), nfCore);
    const figures = callers.take();
    const startMs = await starts;
    return {
      policy: options.policy,
      round: options.round,
      ...packets(report),
      core: {
        wall_us: wallUs,
        nf_us: nfUs,
        function_us: Math.max(0, after.totals.functionS - before.totals.functionS) * 1e6,
        spare_us: wallUs - nfUs,
      },
      functions: {
        completed: figures.completed,
        failed: figures.failed + startMs.failed,
        latency_ms: {
          p50: figures.completed === 0 ? null : figures.latencyNs.percentile(50) / 1e6,
          p99: figures.completed === 0 ? null : figures.latencyNs.percentile(99) / 1e6,
        },
        start_ms: { p50: median(startMs.ms), p99: startMs.ms.length === 0 ? null : Math.max(...startMs.ms) },
        starts: {
          cold: (figures.starts.cold ?? 0) + (startMs.kinds.cold ?? 0),
          stem: (figures.starts.stem ?? 0) + (startMs.kinds.stem ?? 0),
          warm: (figures.starts.warm ?? 0) + (startMs.kinds.warm ?? 0),
        },
      },
    };
  } finally {
    await callers.stop();
    await prober.destroy();
    await agent.stop();
  }
}

/** Calls each function once, evenly over the measured time. */
async function probeStarts(
  client: Client,
  names: readonly string[],
  overMs: number,
): Promise<{ ms: number[]; failed: number; kinds: Record<string, number> }> {
  const out = { ms: [] as number[], failed: 0, kinds: {} as Record<string, number> };
  const gapMs = overMs / (names.length + 1);
  for (const name of names) {
    await new Promise((done) => setTimeout(done, gapMs));
    const start = await timeFirstByte(client, `/function/${name}`);
    if (start === null) out.failed++;
    else {
      out.ms.push(start.firstByteMs);
      out.kinds[start.kind] = (out.kinds[start.kind] ?? 0) + 1;
    }
  }
  return out;
}

function packets(report: Awaited<ReturnType<Testbed['traffic']['measure']>>): {
  nf: BenchRound['nf'];
  host_noise_p99_us: number | null;
  generator_lateness_p99_us: number | null;
} {
  const { latency_us: latency } = report;
  const value = (quantile: number | null): number => quantile ?? Number.NaN;
  return {
    nf: {
      sent: report.sent,
      received: report.received,
      lost: report.lost,
      latency_us: {
        p50: value(latency.p50),
        p90: value(latency.p90),
        p99: value(latency.p99),
        p999: value(latency.p999),
        max: value(latency.max),
      },
    },
    host_noise_p99_us: report.noise_us.p99,
    generator_lateness_p99_us: report.lateness_us.p99,
  };
}

function coreOf(frame: { cores: FeedCore[] }, core: number): FeedCore {
  return frame.cores.find((one) => one.core === core)!;
}
