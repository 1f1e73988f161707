#!/usr/bin/env node
/**
 * `nemo`: one file a command, loaded only when it is the one asked for. A command file exports
 * `register(program)`; errors end here, as one line for people or JSON for scripts, never as a stack trace.
 */

import { Command } from 'commander';
import { asNemoError } from '../errors.js';
import { maskUrls } from '../mask-url.js';
import { printableJson } from '../printable.js';
import { VERSION } from '../version.js';
import { complain } from './terminal.js';

/** Command word -> module that registers it. */
const COMMANDS: Record<string, () => Promise<{ register(program: Command): void }>> = {
  doctor: () => import('./doctor.js'),
  up: () => import('./up.js'),
  deploy: () => import('./deploy.js'),
  invoke: () => import('./invoke.js'),
  ls: () => import('./ls.js'),
  describe: () => import('./describe.js'),
  rm: () => import('./rm.js'),
  logs: () => import('./logs.js'),
  trace: () => import('./trace.js'),
  engines: () => import('./engines.js'),
  nf: () => import('./nf.js'),
  top: () => import('./top.js'),
  simulate: () => import('./simulate.js'),
  bench: () => import('./bench.js'),
  demo: () => import('./demo.js'),
};

/** Commands whose --json takes a file: their errors stay words. */
const JSON_TO_FILE = ['demo', 'bench'];

/**
 * `nemo ... | head`: whoever read has seen enough, and that is no error. A command with something to put in order
 * listens itself. What cannot be told on stderr is lost, and nothing ends because of it.
 */
function followReaders(): void {
  const { stdout, stderr } = process;
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (stdout.listenerCount('error') > 1) return;
    if (error.code === 'EPIPE') process.exit();
    complain(`nemo: the output cannot be written: ${error.message}\n`);
    process.exit(2);
  });
  stderr.on('error', () => undefined);
}

/** Whoever started it may have removed the directory since: then node cannot resolve any path. */
function leaveLostDirectory(): void {
  try {
    process.cwd();
  } catch {
    process.chdir('/');
  }
}

export async function main(argv: string[]): Promise<number> {
  leaveLostDirectory();
  const program = new Command('nemo')
    .description('Serverless functions on the spare cycles of network function servers')
    .showHelpAfterError('(add --help for the options and an example)')
    .version(VERSION)
    .exitOverride();
  const asked = COMMANDS[argv[2] ?? ''];
  const loaders = asked === undefined ? Object.values(COMMANDS) : [asked];
  for (const load of loaders) (await load()).register(program);
  try {
    await program.parseAsync(argv);
    return Number(process.exitCode ?? 0);
  } catch (thrown) {
    if (thrown instanceof Error && 'exitCode' in thrown) return Number(thrown.exitCode);
    const error = asNemoError(thrown);
    if (argv.includes('--json') && !JSON_TO_FILE.includes(argv[2]!))
      process.stderr.write(`${printableJson(JSON.stringify(error))}\n`);
    else {
      complain(`nemo: ${indented(error.message)} [${error.code}]\n`);
      if (error.hint !== undefined) complain(`      ${indented(error.hint)}\n`);
      if (process.env.NEMO_DEBUG) complain(`${maskUrls(error.stack ?? '')}\n`);
    }
    return error.blame === 'user' ? 1 : 2;
  }
}

/** Lines that a message has of its own must not look like others of this command. */
function indented(text: string): string {
  return text.trimEnd().replace(/\n/g, '\n      ');
}

followReaders();
process.exitCode = await main(process.argv);
