/** Runs a scenario: all policies in each round, in changing order, over one test bed in one process tree. */

import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { NemoError } from '../src/errors.js';
import { onlineCores } from '../src/linux/online-cores.js';
import { setProcessAffinity } from '../src/linux/sched.js';
import { createTestbed } from '../src/packet/testbed.js';
import { measureBox } from './box.js';
import { runRound } from './round.js';
import type { Scenario } from './scenarios.js';
import { summarize } from './summary.js';
import { BENCH_SCHEMA, type BenchReport, type BenchRound } from './types.js';

export interface BenchOptions {
  scenario: Scenario;
  policies: readonly string[];
  rounds: number;
  seconds: number;
  command: string;
  /** `done` of `total` steps. */
  progress: (done: number, total: number, what: string) => void;
}

/** Traffic runs this long before anything is measured: the NF's code gets compiled by its engine. */
const WARM_UP_MS = 2_000;

export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const { scenario, policies } = options;
  const online = onlineCores();
  if (online.length < 2) {
    throw new NemoError(
      'UNSUPPORTED',
      'the bench needs two cores: one for the NF and one for everything else',
    );
  }
  const nfCore = online.at(-1)!;
  const total = policies.length * options.rounds + (scenario.box ? 1 : 0);
  const startedAt = new Date().toISOString();
  const rounds: BenchRound[] = [];
  let done = 0;
  // The callers live in this process: like everything but the NF and the functions, off the NF's core.
  setProcessAffinity(process.pid, [online[0]!]);
  const testbed = await createTestbed({
    nfProfile: scenario.nfProfile,
    mode: scenario.mode,
    cpu: nfCore,
    housekeepingCpu: online[0]!,
  });
  try {
    options.progress(done, total, 'warm-up');
    await testbed.traffic.run(scenario.traffic);
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
    for (let round = 1; round <= options.rounds; round++) {
      // Another order in each round, so that none always runs after the same one.
      const shift = (round - 1) % policies.length;
      for (const policy of [...policies.slice(shift), ...policies.slice(0, shift)]) {
        options.progress(done, total, `round ${round} of ${options.rounds}: ${policy}`);
        rounds.push(await runRound({ testbed, scenario, policy, round, seconds: options.seconds, nfCore }));
        done++;
      }
    }
  } finally {
    await testbed.close();
  }
  const box = scenario.box
    ? await measureBox(nfCore, options.seconds, (what) => options.progress(done, total, what))
    : undefined;
  options.progress(total, total, 'done');
  return {
    schema: BENCH_SCHEMA,
    command: options.command,
    commit: commit(),
    startedAt,
    host: {
      cores: online.length,
      cpu: cpus()[0]?.model ?? 'unknown',
      kernel: release(),
      memoryBytes: totalmem(),
      node: process.version,
    },
    finishedAt: new Date().toISOString(),
    scenarios: [
      {
        scenario: {
          name: scenario.name,
          about: scenario.about,
          nf: scenario.nfProfile,
          mode: scenario.mode,
          loadRatio: null,
          pattern: scenario.traffic.kind,
          packetsPerS: scenario.traffic.packetsPerS ?? null,
          functions: [`cpu${scenario.functionMs}`],
          arrivals: 'closed',
          policies: [...policies],
          roundCount: options.rounds,
          seconds: options.seconds,
        },
        rounds,
        summary: summarize(rounds, options.seconds),
        ...box,
      },
    ],
  };
}

function commit(): string | null {
  try {
    const cwd = fileURLToPath(new URL('.', import.meta.url));
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return null;
  }
}
