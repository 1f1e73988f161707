/** The `nf run` command alone; errors as one JSON line on standard output. */

import { Command } from 'commander';
import { registerRun } from '../../../src/cli/nf-run.js';
import { asNemoError } from '../../../src/model/errors.js';

const program = new Command('nemo').exitOverride();
registerRun(program.command('nf'));
try {
  await program.parseAsync(process.argv);
} catch (thrown) {
  console.log(JSON.stringify(asNemoError(thrown)));
}
