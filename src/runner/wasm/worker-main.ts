/** The program of a thread that runs WebAssembly: functions of one process, each a module that is compiled once. */

import { runThread } from '../isolate/thread.js';
import { WANTED } from '../serve.js';
import { heldBytes, makeHandler } from './module.js';
import { findCompiled, keepCompiled } from './shared-modules.js';

runThread({
  raw: true,
  several: true,
  heldBytes,
  async evaluate({ path, memoryBytes, functionName, env }, code, { printError }) {
    const compiled =
      findCompiled(path) ?? (code.length === 0 ? undefined : keepCompiled(path, code, memoryBytes));
    return compiled === undefined ? WANTED : makeHandler(compiled, functionName, env, printError);
  },
});
