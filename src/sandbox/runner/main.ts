/** The program inside a process sandbox: one socket on fd 3, the function a file that is imported. */

import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { serve } from './serve.js';

const isProgram = (path: string): boolean => /\.(bin|srv)$/.test(path);
/** Node loads its fetch with the first use of one of these, some 30 ms of CPU: with the code rather than in the first call. */
const WEB = ['Response', 'Request', 'Headers', 'FormData', 'fetch('];
const usesWeb = (source: Buffer): boolean => WEB.some((name) => source.includes(name));
const exit = process.exit.bind(process);

serve(new Socket({ fd: 3, readable: true, writable: true }), {
  async evaluate({ path, env }) {
    // What starts programs is loaded only for them.
    if (isProgram(path)) return (await import('./program.js')).programHandler(path, env);
    for (const name of Object.keys(env)) process.env[name] = env[name];
    return ((await import(path)) as { default?: unknown }).default;
  },
  usesWeb: ({ path }) => !isProgram(path) && usesWeb(readFileSync(path)),
  raw: ({ path }) => isProgram(path),
  printError: process.stderr.write.bind(process.stderr),
  exit,
});
