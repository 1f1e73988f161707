/** `nemo simulate`: replays a trace in virtual time through the policies that the agent runs. Needs no root. */

import type { Command } from 'commander';
import { formatBytes, parseBytes, parseDurationMs } from '../model/quantity.js';
import { KEEP_ALIVE_POLICIES, PREWARM_POLICIES, SELECTION_POLICIES } from '../policy/policies.js';
import { comparePolicies, parsePolicySet } from '../sim/compare.js';
import { COSTS, type Costs } from '../sim/costs.js';
import { readPackages } from '../sim/packages.js';
import { plotHtml, plotSvg } from '../sim/plot.js';
import { readTrace } from '../sim/read-trace.js';
import type { SimResult } from '../sim/result.js';
import { ABOVE_ZERO, COUNT, checkOutput, numberOption, writeOutput } from './options.js';
import { Progress } from './progress.js';
import { formatTable } from './table.js';
import { print } from './terminal.js';

interface SimulateOptions {
  trace: string;
  durations?: string;
  policies: string;
  capacity?: string;
  cores?: string;
  scale?: string;
  limit?: string;
  memory?: string;
  cold?: string;
  stem?: string;
  restore?: string;
  packages?: string;
  json?: boolean;
  plot?: string;
}

const DEFAULT_POLICIES =
  'none+ttl,fixed+ttl,template+ttl,template+greedy-dual,reactive+ttl,histogram+histogram';

export function register(program: Command): void {
  const about = [...PREWARM_POLICIES, ...KEEP_ALIVE_POLICIES, ...SELECTION_POLICIES];
  const kinds = [PREWARM_POLICIES, KEEP_ALIVE_POLICIES, SELECTION_POLICIES].map(
    (entries) => `  ${entries.map((entry) => entry.name).join(', ')}\n`,
  );
  program
    .command('simulate')
    .description('replay a trace of calls through prewarm and keep-alive policies, in virtual time')
    .requiredOption('--trace <file>', 'CSV of the Azure Functions traces of 2021 or 2019, or .csv.gz')
    .option('--policies <sets>', 'comma-separated prewarm+keepAlive[+selection]', DEFAULT_POLICIES)
    .option(
      '--capacity <sizes>',
      'memory for sandboxes, comma-separated to sweep: 1Gi,2Gi (default: no bound)',
    )
    .option('--cores <number>', 'function cores of the box (default: every call runs at once)')
    .option('--durations <file>', 'the durations file of a 2019 trace; without it calls take 1 s')
    .option('--scale <factor>', 'divide all times of the trace by this', '1')
    .option('--limit <calls>', 'stop reading after so many calls')
    .option('--memory <size>', 'of one sandbox', formatBytes(COSTS.sandboxBytes))
    .option('--cold <time>', 'start of a sandbox from nothing', `${COSTS.coldMs}ms`)
    .option('--stem <time>', 'start from a stem', `${COSTS.stemMs}ms`)
    .option('--restore <time>', 'start from a snapshot, for the policy snapshot (default: there are none)')
    .option(
      '--packages <file>',
      'JSON: what functions import, and what loading that takes (default: nothing)',
    )
    .option('--json', 'print the results as JSON')
    .option('--plot <file>', 'write a plot, .svg or .html')
    .addHelpText(
      'after',
      `\nPolicies: prewarm, keepAlive, selection; options follow a colon (fixed:stems=4+ttl:keepAlive=10m)\n${kinds.join('')}` +
        '\nExample:\n  nemo simulate --trace data/azure2021-200.csv \\\n' +
        '    --policies fixed+ttl,template+lru,histogram+histogram --capacity 1Gi,2Gi,4Gi --plot sweep.svg\n' +
        `\n${about.map((entry) => `  ${entry.name.padEnd(12)} ${entry.about}`).join('\n')}\n`,
    )
    .action(simulate);
}

async function simulate(options: SimulateOptions): Promise<void> {
  const policies = options.policies.split(',').map(parsePolicySet);
  const capacitiesBytes = options.capacity?.split(',').map((size) => parseBytes(size, '--capacity')) ?? [
    undefined,
  ];
  const costs: Costs = {
    coldMs: duration(options.cold, '--cold', COSTS.coldMs),
    stemMs: duration(options.stem, '--stem', COSTS.stemMs),
    restoreMs:
      options.restore === undefined ? COSTS.restoreMs : parseDurationMs(options.restore, '--restore'),
    sandboxBytes: options.memory === undefined ? COSTS.sandboxBytes : parseBytes(options.memory, '--memory'),
  };
  const cores = options.cores === undefined ? undefined : numberOption(options.cores, '--cores', COUNT);
  checkOutput(options.plot, '--plot');
  const progress = new Progress(process.stderr);
  const fromMs = performance.now();
  const trace = await readTrace(options.trace, {
    scale: numberOption(options.scale ?? '1', '--scale', ABOVE_ZERO),
    ...(options.limit === undefined ? {} : { limit: numberOption(options.limit, '--limit', COUNT) }),
    ...(options.durations === undefined ? {} : { durations: options.durations }),
    onProgress: (calls) => progress.say(`reading ${options.trace}: ${calls} calls`),
  });
  const readMs = performance.now() - fromMs;
  const results = await comparePolicies(trace, {
    policies,
    capacitiesBytes,
    costs,
    ...(cores === undefined ? {} : { cores }),
    ...(options.packages === undefined
      ? {}
      : { packages: readPackages(options.packages, trace.functionNames) }),
    onStep: (done, total, what) => progress.step(done, total, what),
  });
  progress.end();
  const simulatedMs = performance.now() - fromMs - readMs;
  if (options.plot !== undefined) {
    writeOutput(
      options.plot,
      '--plot',
      options.plot.endsWith('.html') ? plotHtml(results) : plotSvg(results),
    );
  }
  const calls = trace.arrivalsMs.length;
  if (options.json) {
    const { functionNames } = trace;
    print(
      `${JSON.stringify({ schema: 'nemo.simulate/1', trace: options.trace, calls, functions: functionNames.length, costs, results }, null, 1)}\n`,
    );
    return;
  }
  print(
    `${calls} calls of ${trace.functionNames.length} functions in ${Math.round((trace.arrivalsMs[calls - 1] ?? 0) / 1000)} s; ` +
      `cold ${costs.coldMs} ms, stem ${costs.stemMs} ms, ${formatBytes(costs.sandboxBytes)} a sandbox\n\n${view(results)}` +
      `\nread in ${(readMs / 1000).toFixed(1)} s, simulated ${results.length} times in ${(simulatedMs / 1000).toFixed(1)} s\n`,
  );
}

function view(results: readonly SimResult[]): string {
  const head = [
    'POLICIES',
    'MEMORY',
    'COLD',
    'STEM',
    'RESTORED',
    'WARM',
    'REJECTED',
    'MISS %',
    'START MEAN MS',
    'P99 MS',
    'GIB S',
    'IDLE GIB S',
  ];
  return formatTable(
    head,
    results.map((one) => [
      one.policies,
      one.capacityBytes === null ? '-' : formatBytes(one.capacityBytes),
      ...[one.cold, one.stem, one.restored, one.warm, one.rejected].map(String),
      (one.missRatio * 100).toFixed(1),
      one.startLatencyMs.mean.toFixed(1),
      one.startLatencyMs.p99.toFixed(1),
      one.memoryGiBs.toFixed(1),
      one.idleMemoryGiBs.toFixed(1),
    ]),
  );
}

function duration(text: string | undefined, what: string, fallback: number): number {
  return text === undefined ? fallback : parseDurationMs(text, what);
}
