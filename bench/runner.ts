/**
 * Runs a plan: scenario after scenario, in each all policies in each round, in changing order, over one bed in one
 * process tree. After every round the report is handed out, so that an interrupted run can be resumed.
 */

import { cpus, release, totalmem } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { allowedCores, requireTwoCores } from '../src/linux/allowed-cores.js';
import { onlineCores } from '../src/linux/online-cores.js';
import { setProcessAffinity } from '../src/linux/sched.js';
import { asNemoError, NemoError } from '../src/model/errors.js';
import { measureBox } from './box.js';
import { findCapacity, type Trial } from './calibrate.js';
import { currentCommit } from './commit.js';
import { expectedS, roundS, setupS } from './durations.js';
import { bedKey, openTestSetup } from './nf/open-test-setup.js';
import type { TestSetup } from './nf/test-setup.js';
import { coreShares, coreTime, noiseOf } from './noise.js';
import { runRound } from './round.js';
import type { PlanEntry } from './sets.js';
import { SLO_LOOK_S, SLO_LOOKS, sloFor } from './slo.js';
import { summarize } from './summary.js';
import {
  BENCH_SCHEMA,
  type BenchReport,
  type BenchRound,
  type CapacityResult,
  type ScenarioResult,
} from './types.js';

export interface BenchOptions {
  plan: readonly PlanEntry[];
  command: string;
  /** A report of the same command and commit: what it holds is not measured again. */
  resume?: BenchReport;
  signal: AbortSignal;
  /** Seconds `done` of `total`, expected. */
  progress: (done: number, total: number, what: string) => void;
  /** After every round. */
  onReport: (report: BenchReport) => void;
}

/** Traffic runs this long before anything is measured: the NF's code gets compiled by its engine. */
const WARM_UP_MS = 2_000;
/** The rate of the warm-up and of the first trial of a calibration, as a share of the generator's most. */
const FIRST_RATIO = 0.5;
const TRIAL_SETTLE_MS = 300;
const TRIAL_S = 0.7;
const TRIAL_RETRIES = 2;
/** After the load changed. */
const LOAD_SETTLE_MS = 300;
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const allowed = allowedCores();
  requireTwoCores('the bench', allowed);
  const cores = allowed.byDefault;
  // The callers live in this process: like everything but the NF and the functions, off the NF's core.
  setProcessAffinity(process.pid, [cores[0]!]);
  const run = new BenchRun(options, cores.at(-1)!, cores[0]!);
  try {
    for (const entry of options.plan) {
      if (options.signal.aborted) break;
      await run.scenario(entry);
    }
  } catch (thrown) {
    // What was asked to end may end anyhow: the rounds before it stand.
    if (!options.signal.aborted) throw thrown;
  } finally {
    await run.closeSetup();
  }
  return run.finish();
}

class BenchRun {
  private readonly report: BenchReport;
  private readonly capacities = new Map<string, CapacityResult>();
  private bed: { key: string; bed: TestSetup } | undefined;
  private readonly totalS: number;
  private doneS = 0;

  constructor(
    private readonly options: BenchOptions,
    private readonly nfCore: number,
    private readonly housekeepingCore: number,
  ) {
    const { plan, resume, command } = options;
    this.totalS = plan.reduce((sum, entry) => sum + expectedS(entry), 0);
    this.report = {
      schema: BENCH_SCHEMA,
      command,
      commit: currentCommit(),
      startedAt: resume?.startedAt ?? new Date().toISOString(),
      finishedAt: null,
      partial: true,
      host: {
        cores: onlineCores().length,
        cpu: cpus()[0]?.model ?? 'unknown',
        kernel: release(),
        memoryBytes: totalmem(),
        node: process.version,
      },
      scenarios: [],
    };
    for (const { scenario } of resume?.scenarios ?? []) {
      if (scenario.capacity !== undefined) this.capacities.set(capacityKey(scenario), scenario.capacity);
    }
  }

  finish(): BenchReport {
    this.report.finishedAt = new Date().toISOString();
    if (!this.options.signal.aborted) delete this.report.partial;
    this.options.onReport(this.report);
    return this.report;
  }

  async scenario(entry: PlanEntry): Promise<void> {
    const { scenario, policies, rounds, seconds } = entry;
    const before = this.options.resume?.scenarios.find((one) => one.scenario.name === scenario.name);
    const result: ScenarioResult = {
      scenario: {
        name: scenario.name,
        about: scenario.about,
        nf: scenario.nfs.join('+'),
        mode: scenario.mode,
        loadRatio: scenario.loadRatio,
        pattern: scenario.pattern,
        packetsPerS: scenario.packetsPerS,
        functions: scenario.functions,
        arrivals: scenario.arrivals,
        policies: [...policies],
        roundCount: rounds,
        seconds,
        ...(before?.scenario.capacity === undefined ? {} : { capacity: before.scenario.capacity }),
        ...(before?.scenario.slo_us === undefined ? {} : { slo_us: before.scenario.slo_us }),
      },
      rounds: [...(before?.rounds ?? [])],
      summary: {},
    };
    this.report.scenarios.push(result);
    const startS = this.doneS;
    const has = (policy: string, round: number): boolean =>
      result.rounds.some((one) => one.policy === policy && one.round === round);
    const wanted = Array.from({ length: rounds }, (_, i) => i + 1)
      .flatMap((round) => inTurn(policies, round).map((policy) => ({ policy, round })))
      .filter(({ policy, round }) => !has(policy, round));
    if (wanted.length > 0) {
      try {
        await this.measure(entry, result, wanted);
      } catch (thrown) {
        if (this.options.signal.aborted) throw thrown;
        // One NF that cannot be run here must not cost the others; what was measured of it stays.
        const { message, hint } = asNemoError(thrown);
        result.skipped = hint === undefined ? message : `${message} (${hint})`;
        this.options.progress(this.doneS, this.totalS, `${scenario.name} stopped: ${message}`);
        await this.closeSetup();
      }
    }
    result.summary = summarize(result.rounds, seconds, scenario.arrivals === 'closed');
    if (before?.gateway !== undefined && before.idle !== undefined) {
      Object.assign(result, { gateway: before.gateway, idle: before.idle });
    } else if (entry.box && result.skipped === undefined && !this.options.signal.aborted) {
      await this.closeSetup();
      const say = (what: string): void => this.options.progress(this.doneS, this.totalS, what);
      Object.assign(result, await measureBox(this.nfCore, seconds, say));
    }
    this.doneS = startS + expectedS(entry);
    this.options.onReport(this.report);
  }

  private async measure(
    entry: PlanEntry,
    result: ScenarioResult,
    wanted: ReadonlyArray<{ policy: string; round: number }>,
  ): Promise<void> {
    const { scenario, seconds } = entry;
    const say = (what: string): void =>
      this.options.progress(this.doneS, this.totalS, `${scenario.name}: ${what}`);
    const bed = await this.openSetup(entry, say);
    let perS = scenario.packetsPerS;
    let nfRatio = 0.35;
    if (scenario.loadRatio !== null) {
      const capacity = await this.capacity(entry, bed, say);
      result.scenario.capacity = capacity;
      perS = Math.max(1, Math.round(capacity.packetsPerS * scenario.loadRatio));
      nfRatio = scenario.loadRatio * Math.max(...capacity.trials.map((trial) => trial.nfRatio));
    }
    result.scenario.packetsPerS = perS;
    await bed.run({ perS, pattern: scenario.pattern });
    await pause(LOAD_SETTLE_MS);
    const sloUs = result.scenario.slo_us ?? (await this.slo(entry, bed, say));
    result.scenario.slo_us = sloUs;
    this.doneS += setupS(scenario);
    for (const { policy, round } of wanted) {
      if (this.options.signal.aborted) throw new NemoError('STOPPING', 'the bench was interrupted');
      say(`round ${round} of ${entry.rounds}, ${policy}`);
      const { nfCore } = this;
      const { startProbes } = entry;
      const options = { bed, scenario, policy, round, seconds, startProbes, nfCore, nfRatio, sloUs };
      result.rounds.push(await roundOrRetry(options, this.options.signal));
      result.summary = summarize(result.rounds, seconds, scenario.arrivals === 'closed');
      this.doneS += roundS(policy, seconds);
      this.options.onReport(this.report);
    }
  }

  /** The bed of the scenario before, if it is the same NF; warmed up. */
  private async openSetup({ scenario }: PlanEntry, say: (what: string) => void): Promise<TestSetup> {
    const key = bedKey(scenario);
    if (this.bed?.key === key) return this.bed.bed;
    await this.closeSetup();
    say('warm-up');
    const bed = await openTestSetup(scenario, this.nfCore, this.housekeepingCore);
    this.bed = { key, bed };
    await bed.run({
      perS: scenario.packetsPerS ?? bed.perSMax * FIRST_RATIO,
      pattern: scenario.pattern === 'replay' ? 'replay' : 'steady',
    });
    await pause(WARM_UP_MS);
    return bed;
  }

  /** Once for each NF in a run, whatever the pattern: what it can do does not depend on that. */
  private async capacity(
    { scenario }: PlanEntry,
    bed: TestSetup,
    say: (what: string) => void,
  ): Promise<CapacityResult> {
    const key = capacityKey({ nf: scenario.nfs.join('+'), mode: scenario.mode });
    const known = this.capacities.get(key);
    if (known !== undefined) return known;
    const found = await findCapacity(
      async (perS) => {
        say(`calibration at ${Math.round(perS).toLocaleString('en')}/s`);
        await bed.run({ perS, pattern: 'steady' });
        await pause(TRIAL_SETTLE_MS);
        return this.trial(bed, perS);
      },
      { firstPerS: bed.perSMax * FIRST_RATIO, maxPerS: bed.perSMax },
    );
    const capacity = { ...found, nfCost: bed.nfCost };
    this.capacities.set(key, capacity);
    return capacity;
  }

  private async slo({ scenario }: PlanEntry, bed: TestSetup, say: (what: string) => void): Promise<number> {
    say('the NF alone, for its SLO');
    const p99Us: number[] = [];
    for (let i = 0; i < SLO_LOOKS; i++) p99Us.push((await bed.measure(SLO_LOOK_S)).nf.latency_us.p99);
    return sloFor(scenario.nfs, p99Us);
  }

  /** Tried again while others use the core: what they take would read as the NF's limit. */
  private async trial(bed: TestSetup, perS: number, again = TRIAL_RETRIES): Promise<Trial> {
    const nf = bed.cpuTime();
    const core = coreTime(this.nfCore);
    const from = performance.now();
    const { nf: packets, notSentRatio, host_noise_p99_us } = await bed.measure(TRIAL_S);
    const wallUs = (performance.now() - from) * 1000;
    const times = coreShares({ wallUs, nfUs: nf() / 1000, functionUs: 0, ...core() });
    const lossRatio = packets.lost / Math.max(1, packets.sent);
    if (lossRatio > 0 && again > 0 && noiseOf({ core: times, host_noise_p99_us }, 0) !== undefined) {
      return this.trial(bed, perS, again - 1);
    }
    return { perS, lossRatio, nfRatio: times.nf_us / wallUs, notSentRatio };
  }

  async closeSetup(): Promise<void> {
    const { bed } = this;
    this.bed = undefined;
    await bed?.bed.close();
  }
}

/** An agent that could not start is tried once more: half an hour of measuring must not end by it. */
async function roundOrRetry(
  options: Parameters<typeof runRound>[0],
  signal: AbortSignal,
): Promise<BenchRound> {
  try {
    return await runRound(options);
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    return runRound(options);
  }
}

/** Another order in each round, so that none always runs after the same one. */
function inTurn(policies: readonly string[], round: number): string[] {
  const shift = (round - 1) % policies.length;
  return [...policies.slice(shift), ...policies.slice(0, shift)];
}

const capacityKey = ({ nf, mode }: { nf: string; mode: string }): string => `${nf}:${mode}`;
