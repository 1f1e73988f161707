/** Bundles the module on stdin; its name is the first argument. Prints what came of it as JSON. */

import { BUNDLER_BINARY_INSIDE, STARTED } from '../confinement/confined/protocol.js';
import { asNemoError } from '../model/errors.js';
import { readAll } from '../streams/read-all.js';
import { checkFunction } from './bundle.js';

process.env.ESBUILD_BINARY_PATH = BUNDLER_BINARY_INSIDE;
process.stdout.write(STARTED);
const [filename = '', packages = ''] = process.argv.slice(2);

async function main(): Promise<void> {
  const content = await readAll(process.stdin);
  const answer = await checkFunction(content.toString(), filename, packages !== '').catch(
    (thrown: unknown) => {
      const { code, message, hint, details } = asNemoError(thrown);
      // Its service died with it: of memory, or of how deep the code goes.
      if (code === 'INTERNAL') process.exit(3);
      return { error: { message, hint, details } };
    },
  );
  process.stdout.write(JSON.stringify(answer));
}

void main();
