/**
 * `nemo invoke NAME`: one call; the answer's body goes to stdout as it is, on a terminal with its control
 * characters made visible. Exit code 0 below status 400, 1 for
 * an answer of 400 and above that the function gave itself; errors of the platform end as those of every command.
 */

import { StringDecoder } from 'node:string_decoder';
import type { Command } from 'commander';
import { NemoError } from '../model/errors.js';
import { printableLines } from '../model/printable.js';
import { AgentClient, type AgentOptions, agentOptions, errorOf, printJson, readAll } from './client.js';

interface InvokeOptions extends AgentOptions {
  data?: string;
  method?: string;
  path: string;
  header: Record<string, string>;
}

export function register(program: Command): void {
  const command = program
    .command('invoke')
    .description('call a function and print its answer')
    .argument('<name>', 'name of the function, or namespace/name')
    .option(
      '-d, --data <text>',
      'body of the call; - reads it from stdin. A JSON object or array is sent as JSON',
    )
    .option('-X, --method <method>', 'HTTP method (default: POST with a body, else GET)')
    .option('--path <path>', 'what the function sees as path, may hold a query', '/')
    .option('-H, --header <name:value>', 'header, may be repeated', addHeader, {})
    .addHelpText(
      'after',
      '\nExample:\n  nemo invoke resize -d \'{"width": 100}\'\n  nemo invoke thumb -d - -H content-type:image/png < photo.png\n',
    );
  agentOptions(command).action(invoke);
}

async function invoke(name: string, options: InvokeOptions): Promise<void> {
  const client = new AgentClient(options.agent);
  const body = options.data === '-' ? await readAll(process.stdin) : options.data;
  const path = sendable(options.path);
  const answer = await client.open({
    method: (options.method ?? (body === undefined ? 'GET' : 'POST')).toUpperCase(),
    path: `/function/${encodeURIComponent(name)}${path === '/' ? '' : path}`,
    headers: { ...(body !== undefined && isJson(body) ? JSON_TYPE : {}), ...options.header },
    ...(body === undefined ? {} : { body }),
  });
  const status = answer.statusCode ?? 0;
  // A function's own 404 is an answer: what it gave has passed a sandbox and bears no error of the platform.
  const { 'x-nemo-error': platformError, 'x-call-id': callId } = answer.headers;
  if (platformError !== undefined || callId === undefined)
    throw errorOf(answer, (await readAll(answer)).toString());
  process.exitCode = status >= 400 ? 1 : 0;
  if (options.json) {
    const { 'x-nemo-start': start, 'x-duration-seconds': seconds } = answer.headers;
    const text = (await readAll(unbroken(answer, client))).toString();
    return printJson({
      status,
      callId,
      start,
      seconds: Number(seconds),
      headers: answer.headers,
      body: text,
    });
  }
  await printBody(answer, client);
}

async function printBody(answer: AsyncIterable<Buffer>, client: AgentClient): Promise<void> {
  // What goes to a file or a program goes there as it is.
  const decoder = process.stdout.isTTY ? new StringDecoder() : undefined;
  let last: Buffer | undefined;
  for await (const chunk of unbroken(answer, client)) {
    last = chunk;
    if (!process.stdout.write(decoder === undefined ? chunk : printableLines(decoder.write(chunk))))
      await new Promise((drained) => process.stdout.once('drain', drained));
  }
  // A prompt behind the last byte is ugly; a pipe gets the bytes and nothing else.
  if (process.stdout.isTTY && last?.at(-1) !== 0x0a) process.stdout.write('\n');
}

const JSON_TYPE = { 'content-type': 'application/json' };

/** Bare texts and numbers would parse too, but are as often meant as they stand. */
function isJson(body: Buffer | string): boolean {
  const text = body.toString();
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The answer's chunks; FUNCTION_ERROR if it ends before its end. */
async function* unbroken(answer: AsyncIterable<Buffer>, client: AgentClient): AsyncGenerator<Buffer> {
  try {
    yield* answer;
  } catch (cause) {
    const message = `the answer broke off: ${client.url.origin} closed the connection`;
    throw new NemoError('FUNCTION_ERROR', message, { hint: "see 'nemo logs' of the function", cause });
  }
}

/** As it stands in a request: with its slash, and what is neither ASCII nor printable encoded. */
function sendable(path: string): string {
  const whole = path.startsWith('/') ? path : `/${path}`;
  return whole.replace(/[^\x21-\x7e]+/gu, encodeURIComponent);
}

function addHeader(text: string, headers: Record<string, string>): Record<string, string> {
  const colon = text.indexOf(':');
  if (colon < 1) {
    throw new NemoError('BAD_REQUEST', `'${text}' is not a header`, { hint: 'write -H name:value' });
  }
  return { ...headers, [text.slice(0, colon).trim().toLowerCase()]: text.slice(colon + 1).trim() };
}
