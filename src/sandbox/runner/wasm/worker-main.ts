/** The program of a thread that runs WebAssembly: its function is one module, compiled once. */

import { runThread } from '../isolate/thread.js';
import { compile, makeHandler } from './module.js';

runThread({
  raw: true,
  async evaluate({ memoryBytes, env }, code, { printError }) {
    return makeHandler(compile(code, memoryBytes), env, printError);
  },
});
