#!/usr/bin/env node
/** `nemo`: one file a command, loaded only when it is the one asked for. */

import { type Commands, runProgram } from './program.js';

/** Command word -> module that registers it. */
const COMMANDS: Commands = {
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

process.exitCode = await runProgram(COMMANDS, process.argv);
