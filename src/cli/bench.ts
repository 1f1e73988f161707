/** `nemo bench`: measures policies against each other on one NF, and writes what it found. */

import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { renderMarkdown } from '../../bench/report.js';
import { runBench } from '../../bench/runner.js';
import { listScenarios, scenarioByName } from '../../bench/scenarios.js';
import { NemoError } from '../errors.js';
import { POLICY_NAMES, policyByName } from '../harvest/policies.js';
import { ensurePackages } from '../linux/packages.js';
import { RUNTIME_PACKAGES } from './diagnosis.js';
import { Progress } from './progress.js';

interface BenchCliOptions {
  scenario: string;
  policies: string;
  rounds?: string;
  seconds?: string;
  json?: string;
  md?: string;
  list?: boolean;
}

export function register(program: Command): void {
  program
    .command('bench')
    .description('measure NEMO against the NF alone and against naive co-location')
    .option('--scenario <name>', 'what to measure; --list shows all', 'quick')
    .option('--policies <names>', `comma-separated: solo, ${POLICY_NAMES.join(', ')}`, 'solo,naive,nemo')
    .option('--rounds <number>', 'interleaved rounds')
    .option('--seconds <number>', 'measured seconds of each policy in each round')
    .option('--json <file>', 'write the result, schema nemo.bench/2')
    .option('--md <file>', 'write the tables as Markdown')
    .option('--list', 'list the scenarios')
    .addHelpText(
      'after',
      '\nRatios are taken inside each round and are what to trust: absolute times differ from day to day.\n' +
        '\nExample:\n  sudo nemo bench --scenario quick --policies solo,naive,nemo --rounds 9 --json quick.json\n',
    )
    .action(bench);
}

async function bench(options: BenchCliOptions): Promise<void> {
  if (options.list) {
    for (const { name, about } of listScenarios()) process.stdout.write(`${name.padEnd(10)} ${about}\n`);
    return;
  }
  if (process.getuid?.() !== 0) {
    throw new NemoError(
      'NOT_ROOT',
      'the bench needs root: it makes network namespaces and pins an NF to a core',
      {
        hint: 'run it with sudo',
      },
    );
  }
  const scenario = scenarioByName(options.scenario);
  const policies = options.policies.split(',').map((name) => name.trim());
  for (const policy of policies) if (policy !== 'solo') policyByName(policy);
  const rounds = positive(options.rounds, '--rounds', scenario.roundsDefault);
  const seconds = positive(options.seconds, '--seconds', scenario.secondsDefault);
  const progress = new Progress(process.stderr);
  await ensurePackages(RUNTIME_PACKAGES, { progress: (line: string) => progress.say(line) });
  const result = await runBench({
    scenario,
    policies,
    rounds,
    seconds,
    command: `nemo bench --scenario ${scenario.name} --policies ${policies.join(',')} --rounds ${rounds} --seconds ${seconds}`,
    progress: (done, total, what) => progress.step(done, total, what),
  });
  progress.end();
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result, null, 1)}\n`);
  const text = renderMarkdown(result);
  if (options.md !== undefined) writeFileSync(options.md, text);
  process.stdout.write(text);
}

function positive(text: string | undefined, option: string, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!(value > 0) || value > 100_000) {
    throw new NemoError('BAD_CONFIG', `${option} must be a number above 0, not "${text}"`);
  }
  return value;
}
