/** One round of one policy: the same NF under the same traffic, with or without functions beside it. */

import { setTimeout as pause } from 'node:timers/promises';
import { Client } from 'undici';
import { AgentProcess } from '../src/lab/agent-process.js';
import { Callers, timeFirstByte } from '../src/lab/callers.js';
import { allowedCores } from '../src/linux/allowed-cores.js';
import type { FeedCore, FeedFrame } from '../src/model/feed.js';
import { policyByName } from '../src/policy/harvest/policies.js';
import { azureTrace, poissonArrivals } from './arrivals.js';
import type { LoadReport, TestSetup } from './nf/test-setup.js';
import { coreShares, coreTime, noiseOf } from './noise.js';
import type { Scenario } from './scenarios.js';
import { withSlo } from './slo.js';
import { cdfOf, median } from './statistics.js';
import { TimelineRecorder } from './timeline.js';
import type { BenchRound, Reactions } from './types.js';
import { codeOf, NOOP_CODE, TRACE_CODE, workloadByName } from './workloads.js';

/** After the first answers: cold starts of the callers' other sandboxes are over then. */
const SETTLE_MS = 500;
/** Longest waits for a platform to be ready; one that is not by then is measured as it is. */
const FOUND_LIMIT_MS = 8_000;
const PREWARM_LIMIT_MS = 40_000;
const ANSWER_LIMIT_MS = 6_000;
/** Closed-loop callers of an ordinary and of a hostile function. */
const CALLERS = 4;
const HOSTILE_CALLERS = 2;
/** Open arrivals ask for this share of what the NF leaves. */
const OPEN_SHARE = 0.6;

export interface RoundOptions {
  bed: TestSetup;
  scenario: Scenario;
  policy: string;
  round: number;
  seconds: number;
  startProbes: number;
  nfCore: number;
  /** Share of the NF core that the NF takes, roughly: open arrivals are paced by what it leaves. */
  nfRatio: number;
  /** The p99 that the agent has to keep. */
  sloUs: number;
}

export async function runRound(options: RoundOptions): Promise<BenchRound> {
  return options.policy === 'solo' ? soloRound(options) : sharedRound(options);
}

async function soloRound(options: RoundOptions): Promise<BenchRound> {
  const close = openWindow(options);
  const report = await options.bed.measure(options.seconds);
  return close()(report, 0, {
    completed: 0,
    failed: 0,
    latency_ms: { p50: null, p99: null },
    start_ms: { p50: null, p99: null },
    starts: { cold: 0, stem: 0, warm: 0 },
  });
}

async function sharedRound(options: RoundOptions): Promise<BenchRound> {
  const { scenario, bed, nfCore, policy, seconds } = options;
  const agent = await AgentProcess.start({
    policy,
    cores: { functions: [nfCore], housekeeping: allowedCores().cores.filter((core) => core !== nfCore) },
    ...withSlo(bed.config, scenario.nfs, options.sloUs),
  });
  const callers = new Callers(agent.url);
  const disturbers = new Callers(agent.url);
  const prober = new Client(agent.url, { bodyTimeout: 60_000, headersTimeout: 60_000 });
  try {
    const probes = Array.from({ length: options.startProbes }, (_, i) => `start-${options.round}-${i}`);
    await deployAll(agent, options, probes);
    await agent.until((frame) => bed.found(frame), FOUND_LIMIT_MS);
    // A platform that prewarms gets the time for it; one that does not has nothing to wait for.
    if (policyByName(policy).prewarm) {
      await agent.until(
        (frame) => frame.functions.every((fn) => fn.sandboxes.some((sandbox) => sandbox.state === 'warm')),
        PREWARM_LIMIT_MS,
      );
    }
    const open = scenario.arrivals === 'azure';
    if (!open) {
      startCalls(options, callers, disturbers);
      if (scenario.arrivals !== 'none') {
        await agent.until((frame) => frame.functions.some((fn) => fn.completed > 0), ANSWER_LIMIT_MS);
        await pause(SETTLE_MS);
      }
    }
    callers.take();
    const before = coreOf(await agent.status(), nfCore);
    const timeline = options.round === 1 ? new TimelineRecorder(agent, nfCore) : undefined;
    const close = openWindow(options);
    if (open) startCalls(options, callers, disturbers);
    const starts = probeStarts(prober, probes, seconds * 1000);
    const report = await bed.measure(seconds);
    const finish = close();
    const frame = await agent.status();
    const functionUs = Math.max(0, coreOf(frame, nfCore).totals.functionS - before.totals.functionS) * 1e6;
    const figures = callers.take();
    const rows = await timeline?.stop();
    const probed = await starts;
    const startsMs = [...probed.ms, ...(open ? figures.firstStartsMs : [])];
    const reactions = reactionsOf(frame);
    const ms = (percentile: number): number | null =>
      figures.completed === 0 ? null : figures.latencyNs.percentile(percentile) / 1e6;
    const start = (kind: string): number => (figures.starts[kind] ?? 0) + (probed.kinds[kind] ?? 0);
    return {
      ...finish(report, functionUs, {
        completed: figures.completed,
        failed: figures.failed + probed.failed,
        latency_ms: { p50: ms(50), p99: ms(99) },
        latency_cdf_ms: cdfOf(figures.latencyNs, 1e6),
        start_ms: { p50: median(startsMs), p99: startsMs.length === 0 ? null : Math.max(...startsMs) },
        starts: { cold: start('cold'), stem: start('stem'), warm: start('warm') },
        queued: frame.functions.reduce((sum, fn) => sum + fn.queued, 0),
        ...(figures.firstError === undefined ? {} : { first_error: figures.firstError }),
      }),
      ...(rows === undefined ? {} : { timeline: rows }),
      ...(reactions === undefined ? {} : { reactions_us: reactions }),
    };
  } finally {
    await Promise.all([callers.stop(), disturbers.stop(), prober.destroy()]);
    await agent.stop();
  }
}

async function deployAll(
  agent: AgentProcess,
  options: RoundOptions,
  probes: readonly string[],
): Promise<void> {
  const { scenario, seconds } = options;
  for (const name of scenario.functions) {
    if (name === 'trace') {
      const count = Math.max(...azureTrace(seconds).map(({ fn }) => fn)) + 1;
      for (let i = 0; i < count; i++) await agent.deploy(`trace-${i}`, TRACE_CODE);
    } else {
      const workload = workloadByName(name);
      await agent.deploy(name, await codeOf(workload), workload.options);
    }
  }
  for (const name of probes) await agent.deploy(name, NOOP_CODE);
}

function startCalls(
  { scenario, nfRatio, round, seconds }: RoundOptions,
  callers: Callers,
  disturbers: Callers,
): void {
  if (scenario.arrivals === 'none') return;
  if (scenario.arrivals === 'azure') {
    callers.startOpen(
      azureTrace(seconds)
        .map(({ fn, atMs, busyMs }) => ({ atMs, path: `/function/trace-${fn}?ms=${busyMs.toFixed(2)}` }))
        .values(),
    );
    return;
  }
  const all = scenario.functions.map((name) => {
    const workload = workloadByName(name);
    return { ...workload, path: `/function/${name}${workload.query ?? ''}` };
  });
  // Alone, a hostile function is what is measured.
  const disturbing = all.filter(({ hostile }) => hostile && all.length > 1);
  const ordinary = all.filter((one) => !disturbing.includes(one));
  for (const { path } of disturbing) disturbers.start(path, HOSTILE_CALLERS);
  if (scenario.arrivals === 'closed') for (const { path } of ordinary) callers.start(path, CALLERS);
  else {
    const meanMs = ordinary.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / ordinary.length;
    const perS = Math.min(1_000, (OPEN_SHARE * (1 - nfRatio) * 1000) / meanMs);
    callers.startOpen(
      poissonArrivals(
        ordinary.map(({ path }) => path),
        perS,
        round,
      ),
    );
  }
}

type Finish = (report: LoadReport, functionUs: number, functions: BenchRound['functions']) => BenchRound;

/** Opens the measured time of the NF core; the returned function closes it, and what that returns makes the round. */
function openWindow({ bed, policy, round, nfCore }: RoundOptions): () => Finish {
  const nf = bed.cpuTime();
  const core = coreTime(nfCore);
  const from = performance.now();
  return () => {
    const wallUs = (performance.now() - from) * 1000;
    const nfUs = nf() / 1000;
    const { usedUs, stolenUs } = core();
    return (report, functionUs, functions) => {
      const times = coreShares({ wallUs, nfUs, functionUs, usedUs, stolenUs });
      const { notSentRatio, ...measured } = report;
      const why = noiseOf({ core: times, host_noise_p99_us: report.host_noise_p99_us }, notSentRatio);
      return {
        policy,
        round,
        ...measured,
        core: times,
        functions,
        ...(why === undefined ? { noisy: false } : { noisy: true, noisyWhy: why }),
      };
    };
  };
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
    await pause(gapMs);
    const start = await timeFirstByte(client, `/function/${name}`);
    if (start === null) out.failed++;
    else {
      out.ms.push(start.firstByteMs);
      out.kinds[start.kind] = (out.kinds[start.kind] ?? 0) + 1;
    }
  }
  return out;
}

function reactionsOf({ agent: { reactions } }: FeedFrame): Reactions | undefined {
  if (reactions === undefined) return undefined;
  const { count, p50Us, p99Us, ...more } = reactions as typeof reactions & { maxUs?: number };
  const { packet, maxUs } = more;
  return {
    count,
    p50: p50Us,
    p99: p99Us,
    ...(maxUs === undefined ? {} : { max: maxUs }),
    ...(packet === undefined
      ? {}
      : {
          packet: {
            count: packet.count,
            p50: packet.p50Us,
            p99: packet.p99Us,
            over_slo_p50: packet.overSloP50Us,
            over_slo_p99: packet.overSloP99Us,
            known_p50: packet.knownP50Us,
            known_p99: packet.knownP99Us,
          },
        }),
  };
}

function coreOf(frame: { cores: FeedCore[] }, core: number): FeedCore {
  return frame.cores.find((one) => one.core === core)!;
}
