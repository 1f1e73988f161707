/** `nemo nf run`: a reference NF between two interfaces, in the foreground. It shares the process with nothing else. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { parse } from 'yaml';
import { readTrusted } from '../linux/trusted-file.js';
import { NemoError } from '../model/errors.js';
import type { NfMode } from '../model/nf-profile.js';
import { becomeNf } from '../packet/nf-process.js';
import { writeLine } from '../packet/nf-runtime.js';
import { ABOVE_ZERO, numberOption } from './options.js';

interface RunOptions {
  in?: string;
  out?: string;
  capture?: string;
  packets?: string;
  cpu?: number;
  mode: NfMode;
  config?: string;
  stats?: boolean;
  json?: boolean;
}

const EXAMPLE = `
Example:
  nemo nf run firewall --in eth1 --out eth2 --cpu 3 --mode sleep --stats
  nemo nf run nat --capture mine.pcapng --stats     # in a test bed, under your own packets`;

/** Adds `run` to the `nf` command. */
export function registerRun(nf: Command): void {
  nf.command('run')
    .description('run a reference NF between two interfaces, in the foreground')
    .argument('<profile>', 'firewall, nat, lb, router, dpi or tunnel')
    .option('--in <interface>', 'the inside')
    .option('--out <interface>', 'the outside')
    .option('--capture <file>', 'instead of interfaces: replay this pcap or pcapng through it, in a test bed')
    .option('--packets <number>', 'packets of the capture a second; by default at the pace of the capture')
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
    .action(async (profile: string, options: RunOptions, command: Command) => {
      const { cpu, mode, json } = options;
      const config = options.config === undefined ? {} : readConfig(options.config);
      if (options.capture !== undefined) return replay(profile, options.capture, config, options);
      const { in: inside, out: outside } = options;
      for (const [name, value] of Object.entries({ in: inside, out: outside })) {
        if (value === undefined)
          command.error(`error: required option '--${name} <interface>' not specified (or --capture <file>)`);
      }
      const ends = { in: inside!, out: outside! };
      becomeNf({
        profile,
        ...ends,
        mode,
        config,
        ...(cpu !== undefined && { cpu }),
        onReady: () => {
          const { pid } = process;
          if (json) writeLine(JSON.stringify({ ready: true, pid, profile, ...ends, mode }));
          else writeLine(`${profile} forwards between ${ends.in} and ${ends.out} (pid ${pid}, ${mode} mode)`);
        },
        ...(options.stats && {
          onStatistics: (statistics) => writeLine(json ? JSON.stringify(statistics) : inWords(statistics)),
        }),
      });
    });
}

async function replay(profile: string, capture: string, config: unknown, options: RunOptions): Promise<void> {
  const { cpu, mode, packets, stats = false, json = false } = options;
  if (options.in !== undefined || options.out !== undefined) {
    throw new NemoError('BAD_CONFIG', 'a capture is replayed in a test bed, not on interfaces', {
      hint: 'leave out --in and --out, or --capture',
    });
  }
  const packetsPerS = packets === undefined ? undefined : numberOption(packets, '--packets', ABOVE_ZERO);
  const { replayCapture } = await import('./nf-replay.js');
  await replayCapture({
    profile,
    capture,
    mode,
    config,
    stats,
    json,
    ...(cpu !== undefined && { cpu }),
    ...(packetsPerS !== undefined && { packetsPerS }),
  });
}

function readCore(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected the number of a core.');
  return Number(text);
}

function readConfig(path: string): unknown {
  let text: string;
  try {
    text = readTrusted({ path, what: 'the configuration', code: 'BAD_CONFIG' });
  } catch (cause) {
    if (cause instanceof NemoError) throw cause;
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
