/** A foreign client, run to its end. Its output is bytes: what a client made of an answer is compared byte by byte. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { findProgram } from '../../src/host/programs.js';

export interface ClientRun {
  code: number | null;
  out: Buffer;
  err: string;
}

/** Debian's own Python: the packages of its modules are installed for no other. */
export const PYTHON = '/usr/bin/python3';

export async function run(
  command: string,
  args: readonly string[],
  stdin: Uint8Array | string = '',
  env: NodeJS.ProcessEnv = {},
): Promise<ClientRun> {
  const child = spawn(command, args, { env: { ...process.env, ...env } });
  const out: Buffer[] = [];
  let err = '';
  child.stdout.on('data', (bytes) => out.push(bytes));
  child.stderr.on('data', (text) => (err += text));
  // One that does not read its input is no failure of ours.
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  const [code] = await once(child, 'close');
  return { code, out: Buffer.concat(out), err };
}

/** The output of one that must end well. */
export async function output(
  command: string,
  args: readonly string[],
  stdin: Uint8Array | string = '',
): Promise<Buffer> {
  const { code, out, err } = await run(command, args, stdin);
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${err}${out}`);
  return out;
}

/** Skips, so that it is seen, where a client is not installed. */
export function need(test: Mocha.Context, ...programs: string[]): void {
  if (!programs.every(findProgram)) test.skip();
}

/** Answers with what it got, whatever that is. */
export const ECHO = `export default { async fetch(request) {
  const headers = { 'content-type': request.headers.get('content-type') ?? 'application/octet-stream', 'x-method': request.method };
  return new Response(new Uint8Array(await request.arrayBuffer()), { headers });
} };`;

/** Bytes of every value, no two stretches alike. */
export function bytesOf(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
