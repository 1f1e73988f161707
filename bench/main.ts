#!/usr/bin/env node
/** The bench as a program: `npm run bench`, and what `nemo bench` starts. */

import { runProgram } from '../src/cli/program.js';

process.exitCode = await runProgram({ bench: () => import('./command.js') }, [
  'node',
  'nemo',
  'bench',
  ...process.argv.slice(2),
]);
