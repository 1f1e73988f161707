/**
 * Runs one command of those that a program has. A command file exports `register(program)`; errors end here, as one
 * line for people or JSON for scripts, never as a stack trace.
 */

import { Command } from 'commander';
import { asNemoError } from '../model/errors.js';
import { maskUrls } from '../model/mask-url.js';
import { printableJson } from '../model/printable.js';
import { VERSION } from '../model/version.js';
import { complain } from './terminal.js';

/** Command word -> module that registers it. */
export type Commands = Record<string, () => Promise<{ register(program: Command): void }>>;

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

/** The exit code, when the command has ended. `argv` as of a process. */
export async function runProgram(commands: Commands, argv: string[]): Promise<number> {
  followReaders();
  leaveLostDirectory();
  const program = new Command('nemo')
    .description('Serverless functions on the spare cycles of network function servers')
    .showHelpAfterError('(add --help for the options and an example)')
    .version(VERSION)
    .exitOverride();
  const asked = commands[argv[2] ?? ''];
  const loaders = asked === undefined ? Object.values(commands) : [asked];
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
