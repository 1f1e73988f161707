/** `nemo bench`: measures policies against each other on NFs under load, and writes what it found. */

import { resolve } from 'node:path';
import type { Command } from 'commander';
import { RUNTIME_PACKAGES } from '../src/cli/diagnosis/packages.js';
import { ABOVE_ZERO, COUNT, checkOutput, numberOption, writeOutput } from '../src/cli/options.js';
import { Progress } from '../src/cli/progress.js';
import { complain, print } from '../src/cli/terminal.js';
import { ensurePackages } from '../src/host/packages.js';
import { checkCapture } from '../src/lab/traffic/workload.js';
import { NemoError } from '../src/model/errors.js';
import { POLICY_NAMES, policyByName } from '../src/policy/harvest/policies.js';
import { currentCommit } from './commit.js';
import { expectedS } from './durations.js';
import { renderMarkdown } from './report.js';
import { readReport, readResumable, writeReport } from './report-file.js';
import { runBench } from './runner.js';
import { FORM, SCENARIO_CHOICES } from './scenarios.js';
import { listSets, only, type PlanEntry, planOf, SET_NAMES } from './sets.js';
import type { BenchReport } from './types.js';

interface BenchCliOptions {
  set: string;
  scenario?: string;
  only?: string;
  policies?: string;
  rounds?: string;
  seconds?: string;
  capture?: string;
  out?: string;
  resume?: string;
  md?: string;
  report?: string;
  from?: string;
  list?: boolean;
}

export function register(program: Command): void {
  program
    .command('bench')
    .description('measure NEMO against the NF alone and against what an operator could do by hand')
    .option('--set <name>', `scenarios to run: ${SET_NAMES.join(', ')}`, 'quick')
    .option('--scenario <name>', `one scenario instead: ${FORM}; or engines`)
    .option(
      '--only <pattern>',
      'of the set, only scenarios whose name holds this; * stands for anything; of engines, only such rows',
    )
    .option('--policies <names>', `instead of the set's: solo, ${POLICY_NAMES.join(', ')}`)
    .option('--rounds <number>', "interleaved rounds, instead of the set's")
    .option('--seconds <number>', 'measured seconds of each policy in each round')
    .option('--capture <file>', 'a capture of your own (pcap or pcapng) for the scenarios that replay one')
    .option('--json, --out <file.json>', 'write the report, schema nemo.bench/2, after every round')
    .option('--resume <file.json>', 'as --out, but what the file already holds is not measured again')
    .option('--md <file>', 'write the tables as Markdown')
    .option('--report <file.html>', 'write the report as one page with plots, for a browser')
    .option('--from <file.json>', 'measure nothing: show what an earlier run wrote')
    .option('--list', 'list the sets, what they hold and how long they take; with --set, its scenarios')
    .addHelpText(
      'after',
      '\nRatios are taken inside each round and are what to trust: absolute times differ from day to day.\n' +
        'Ctrl-C ends the run after what is under way; the report written so far is valid and can be resumed.\n' +
        `\nA scenario is ${FORM}:\n${SCENARIO_CHOICES}\n` +
        '\nExamples:\n' +
        '  sudo nemo bench --set loads --out loads.json\n' +
        '  sudo nemo bench --scenario nat+firewall/70/bursty/json/poisson --policies solo,idle,nemo --rounds 9\n' +
        '  sudo nemo bench --set full --resume full.json --report full.html\n' +
        '  nemo bench --from full.json --report full.html\n',
    )
    .action(bench);
}

async function bench(options: BenchCliOptions, command: Command): Promise<void> {
  if (options.list) {
    print(command.getOptionValueSource('set') === 'cli' ? listPlan(planOf(options.set)) : listing());
    return;
  }
  for (const [path, option] of [
    [options.out, '--out'],
    [options.resume, '--resume'],
    [options.md, '--md'],
    [options.report, '--report'],
  ] as const) {
    checkOutput(path, option);
  }
  if (options.from !== undefined) return show(readReport(options.from), options);
  const engines = options.scenario === 'engines';
  const plan = engines ? [] : planFrom(options);
  if (process.getuid?.() !== 0) {
    throw new NemoError(
      'NOT_ROOT',
      'the bench needs root: it makes network namespaces and pins an NF to a core',
      { hint: 'run it with sudo' },
    );
  }
  if (engines) return runEngines(options);
  const progress = new Progress(process.stderr);
  await ensurePackages(RUNTIME_PACKAGES, { progress: (line: string) => progress.say(line) });
  const line = commandLine(options);
  const file = options.resume ?? options.out;
  const resume =
    options.resume === undefined ? undefined : readResumable(options.resume, line, currentCommit());
  const stop = new AbortController();
  const interrupt = (): void => {
    progress.say('ending after this round ...');
    stop.abort();
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const report = await runBench({
    plan,
    command: line,
    signal: stop.signal,
    ...(resume === undefined ? {} : { resume }),
    progress: (done, total, what) => progress.step(Math.round(done), Math.round(total), what),
    onReport: (now) => {
      if (file !== undefined) writeReport(file, now);
    },
  });
  process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  progress.end();
  await show(report, options);
  if (report.partial) process.exitCode = 130;
}

/** The same figures as text, and as files where they were asked for. */
async function show(report: BenchReport, { md, report: page }: BenchCliOptions): Promise<void> {
  const text = renderMarkdown(report);
  if (md !== undefined) writeOutput(md, '--md', text);
  if (page !== undefined) {
    const { renderReport } = await import('./html/report.js');
    writeOutput(page, '--report', renderReport(report));
  }
  print(text);
}

function planFrom(options: BenchCliOptions): PlanEntry[] {
  const all = planOf(options.scenario ?? options.set);
  const kept = options.only === undefined ? all : only(all, options.only);
  const policies = options.policies?.split(',').map((name) => name.trim());
  for (const policy of policies ?? []) if (policy !== 'solo') policyByName(policy);
  const capture = captureOf(options, kept);
  return kept.map((entry) => ({
    ...entry,
    scenario: { ...entry.scenario, ...(entry.scenario.pattern === 'replay' && capture) },
    policies: policies ?? entry.policies,
    rounds: roundsOf(options) ?? entry.rounds,
    seconds: secondsOf(options) ?? entry.seconds,
  }));
}

function captureOf({ capture }: BenchCliOptions, plan: readonly PlanEntry[]): { capture?: string } {
  if (capture === undefined) return {};
  if (plan.every(({ scenario }) => scenario.pattern !== 'replay')) {
    throw new NemoError('BAD_CONFIG', 'none of these scenarios replays a capture', {
      hint: 'take one that does: --scenario replay, or firewall/-/replay/cpu5/closed',
    });
  }
  checkCapture(capture);
  return { capture: resolve(capture) };
}

/** What has to be typed to measure the same again; where it is written does not matter. */
function commandLine(options: BenchCliOptions): string {
  const { set, scenario, only: pattern, policies, rounds, seconds, capture } = options;
  const words = ['nemo bench', scenario === undefined ? `--set ${set}` : `--scenario ${scenario}`];
  if (pattern !== undefined) words.push(`--only '${pattern}'`);
  if (policies !== undefined) words.push(`--policies ${policies}`);
  if (rounds !== undefined) words.push(`--rounds ${rounds}`);
  if (seconds !== undefined) words.push(`--seconds ${seconds}`);
  if (capture !== undefined) words.push(`--capture ${capture}`);
  return words.join(' ');
}

const minutes = (plan: readonly PlanEntry[]): string =>
  `${Math.max(1, Math.round(plan.reduce((sum, entry) => sum + expectedS(entry), 0) / 60))} min`;

function listing(): string {
  const rows = listSets().map(
    ({ name, about, plan }) =>
      `${name.padEnd(10)} ${String(plan.length).padStart(2)} scenarios, about ${minutes(plan).padStart(6)}   ${about}`,
  );
  return `${rows.join('\n')}\n\nA scenario is ${FORM}:\n${SCENARIO_CHOICES}\n`;
}

function listPlan(plan: readonly PlanEntry[]): string {
  const rows = plan.map(
    (entry) =>
      `${entry.scenario.name.padEnd(42)} ${entry.rounds} x ${entry.seconds} s  ${minutes([entry]).padStart(6)}  ${entry.policies.join(',')}`,
  );
  return `${rows.join('\n')}\n`;
}

function roundsOf({ rounds }: BenchCliOptions): number | undefined {
  return rounds === undefined ? undefined : numberOption(rounds, '--rounds', { ...COUNT, most: 100_000 });
}

function secondsOf({ seconds }: BenchCliOptions): number | undefined {
  return seconds === undefined ? undefined : numberOption(seconds, '--seconds', ABOVE_ZERO);
}

async function runEngines(options: BenchCliOptions): Promise<void> {
  const { runEngineBench } = await import('./engines.js');
  const { renderEngines } = await import('./engine-report.js');
  const report = await runEngineBench({
    rounds: roundsOf(options) ?? 5,
    seconds: secondsOf(options) ?? 1,
    sandboxes: 20,
    many: 2_000,
    ...(options.only === undefined ? {} : { only: options.only }),
    progress: (what) => void complain(`${what}\n`),
  });
  const text = renderEngines(report);
  print(text);
  if (options.out !== undefined) writeOutput(options.out, '--out', `${JSON.stringify(report, null, 2)}\n`);
  if (options.md !== undefined) writeOutput(options.md, '--md', text);
}
