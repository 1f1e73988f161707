/** The program inside a process sandbox: pipes to the agent (3) and from it (4), the function a file that is imported. */

import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { type Ahead, importAhead, packagesUseWeb, usesWeb } from './ahead.js';
import { describeError } from './calls.js';
import { socketLink } from './link.js';
import { serve } from './serve.js';

const exit = process.exit.bind(process);
/** Packages to import before anything is known of a function; gone from the arguments that code sees. */
const packages = process.argv.splice(2);
const ahead: Ahead | undefined =
  packages.length === 0 ? undefined : await importAhead(packages).catch(giveUp);

/** In one line, which the agent shows. */
function giveUp(thrown: unknown): never {
  const { name, message } = describeError(thrown);
  process.stderr.write(`${name}: ${message.replaceAll('\n', ' ')}\n`);
  return process.exit(1);
}

const toAgent = new Socket({ fd: 3, readable: false, writable: true });
serve(socketLink(new Socket({ fd: 4, readable: true, writable: false }), toAgent), {
  async evaluate({ source, path, env }) {
    // What starts programs is loaded only for them.
    if (source.kind === 'program')
      return (await import('./program.js')).programHandler(source.exec, path, env);
    for (const name of Object.keys(env)) process.env[name] = env[name];
    return ((await import(path)) as { default?: unknown }).default;
  },
  // With the code rather than in the first call.
  usesWeb: ({ source, path }) =>
    source.kind !== 'program' && (usesWeb(readFileSync(path)) || packagesUseWeb()),
  raw: ({ source }) => source.kind === 'program',
  printError: process.stderr.write.bind(process.stderr),
  exit,
  ...(ahead === undefined ? {} : { hello: { ahead } }),
});
