/** The program inside a process sandbox: one socket on fd 3, the function a file that is imported. */

import { Socket } from 'node:net';
import { serve } from './serve.js';

const isProgram = (path: string): boolean => /\.(bin|srv)$/.test(path);
const exit = process.exit.bind(process);

serve(new Socket({ fd: 3, readable: true, writable: true }), {
  async evaluate({ path, env }) {
    // What starts programs is loaded only for them.
    if (isProgram(path)) return (await import('./program.js')).programHandler(path, env);
    for (const name of Object.keys(env)) process.env[name] = env[name];
    return ((await import(path)) as { default?: unknown }).default;
  },
  raw: ({ path }) => isProgram(path),
  printError: process.stderr.write.bind(process.stderr),
  exit,
});
