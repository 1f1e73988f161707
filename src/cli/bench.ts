/**
 * `nemo bench`: starts the bench, which is a program of its own on top of the product (`bench/`) and not part of what an
 * installed box has to have.
 */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { spawn } from '../linux/spawn.js';
import { NemoError } from '../model/errors.js';

const BENCH = fileURLToPath(new URL('../../bench/main.js', import.meta.url));

export function register(program: Command): void {
  program
    .command('bench')
    .description('measure NEMO against the NF alone and against what an operator could do by hand')
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .argument('[options...]', 'nemo bench --help lists them')
    .action(bench);
}

async function bench(args: string[]): Promise<void> {
  if (!existsSync(BENCH)) {
    throw new NemoError('NOT_FOUND', 'the bench is not installed here', {
      hint: 'run it from a clone of the project: npm ci && npm run bench -- --help',
    });
  }
  const child = spawn(process.execPath, [...process.execArgv, BENCH, ...args], { stdio: 'inherit' });
  // Ctrl-C reaches both: the bench ends its round first, and says how it ended. What only this process hears is passed on.
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  const wait = (): void => {};
  process.on('SIGINT', wait).on('SIGTERM', pass);
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
  process.off('SIGINT', wait).off('SIGTERM', pass);
}
