/** Looks at the module on stdin; its memory limit is the first argument. Prints what is wrong with it, or nothing. */

import { STARTED } from '../../confinement/confined/protocol.js';
import { compile } from '../../runner/wasm/module.js';
import { readAll } from '../../streams/read-all.js';

process.stdout.write(STARTED);

async function main(): Promise<void> {
  const content = await readAll(process.stdin);
  try {
    compile(content, Number(process.argv[2]));
  } catch (error) {
    process.stdout.write((error as Error).message.slice(0, 1_000));
  }
}

void main();
