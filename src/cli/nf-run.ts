/** `nemo nf run`: a reference NF between two interfaces, in the foreground. It shares the process with nothing else. */

import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parse } from 'yaml';
import { NemoError } from '../errors.js';
import type { NfMode } from '../nf/profile.js';
import { becomeNf } from '../packet/nf-process.js';
import { writeLine } from '../packet/nf-runtime.js';

interface RunOptions {
  in: string;
  out: string;
  cpu?: number;
  mode: NfMode;
  config?: string;
  stats?: boolean;
  json?: boolean;
}

const EXAMPLE = `
Example:
  nemo nf run firewall --in eth1 --out eth2 --cpu 3 --mode sleep --stats`;

/** Adds `run` to the `nf` command. */
export function registerRun(nf: Command): void {
  nf.command('run')
    .description('run a reference NF between two interfaces, in the foreground')
    .argument('<profile>', 'firewall, nat, lb, router, dpi or tunnel')
    .requiredOption('--in <interface>', 'the inside')
    .requiredOption('--out <interface>', 'the outside')
    .option('--cpu <core>', 'bind it to this core', readCore)
    .addOption(
      new Option('--mode <mode>', 'wait for packets in poll(), or spin')
        .choices(['sleep', 'poll'])
        .default('sleep'),
    )
    .option('--config <file>', "the function's configuration, YAML or JSON")
    .option('--stats', 'a line of totals every second')
    .option('--json', 'report in JSON lines')
    .addHelpText('after', EXAMPLE)
    .action((profile: string, options: RunOptions) => {
      const { cpu, mode, json } = options;
      becomeNf({
        profile,
        in: options.in,
        out: options.out,
        mode,
        config: options.config === undefined ? {} : readConfig(options.config),
        ...(cpu !== undefined && { cpu }),
        onReady: () => {
          const { pid } = process;
          if (json)
            writeLine(JSON.stringify({ ready: true, pid, profile, in: options.in, out: options.out, mode }));
          else
            writeLine(
              `${profile} forwards between ${options.in} and ${options.out} (pid ${pid}, ${mode} mode)`,
            );
        },
        ...(options.stats && {
          onStatistics: (statistics) => writeLine(json ? JSON.stringify(statistics) : inWords(statistics)),
        }),
      });
    });
}

function readCore(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected the number of a core.');
  return Number(text);
}

function readConfig(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new NemoError('NOT_FOUND', `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    return parse(text) ?? {};
  } catch (cause) {
    throw new NemoError('BAD_CONFIG', `${path}: ${(cause as Error).message}`, { cause });
  }
}

function inWords(statistics: object): string {
  return Object.entries(statistics)
    .map(([name, value]) => (Array.isArray(value) ? `${name} ${value.join('/')}` : ''))
    .filter((text) => text !== '')
    .join('  ');
}
