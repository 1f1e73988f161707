/** Runs one command file as `nemo` does: argv[2] is the module's name, the rest its command line. */

import { Command } from 'commander';
import { asNemoError } from '../../src/model/errors.js';

const [moduleName, ...args] = process.argv.slice(2);
const { register } = (await import(`../../src/cli/${moduleName}.js`)) as { register(program: Command): void };
const program = new Command('nemo').exitOverride();
register(program);
try {
  await program.parseAsync([moduleName!, ...args], { from: 'user' });
} catch (thrown) {
  if (thrown instanceof Error && 'exitCode' in thrown) {
    process.exitCode = Number(thrown.exitCode);
  } else {
    const error = asNemoError(thrown);
    process.stderr.write(`${JSON.stringify(error)}\n`);
    process.exitCode = error.blame === 'user' ? 1 : 2;
  }
}
