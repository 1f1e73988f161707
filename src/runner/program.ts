/**
 * Calls of a function that is a program. `stdio`: it is run once a call, with the body on stdin, the request in its
 * environment, and what it prints on stdout as the answer. `http`: it is started once, listens on 127.0.0.1:$PORT
 * inside its sandbox, and is passed every call as an HTTP request.
 */

import { Buffer } from 'node:buffer';
import { type StdioOptions, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import type { ExecMode } from '../model/function-source.js';
import type { RawHandler } from './calls.js';
import { requestEnvironment } from './cgi.js';
import { CallContext } from './event.js';
import { BODY_MAX_BYTES } from './frames.js';
import { endLeftovers, MARK } from './leftovers.js';
import { closeFile, openInput, openOutput } from './program-io.js';

const COPY = '/tmp/.function';
const PORT = 8080;
const USER = { USER: 'function', LOGNAME: 'function', TZ: 'UTC' };
const LOOK_MS = 10;
/** For what a program left running to write the end of its answer. */
const LINGER_MS = 100;
/** They speak of one connection; node makes its own. */
const OWN_HEADERS = ['host', 'connection', 'transfer-encoding', 'keep-alive', 'upgrade'];
const OF_REQUEST = [...OWN_HEADERS, 'content-length'];
const BODILESS = [204, 205, 304];

export async function programHandler(
  exec: ExecMode,
  path: string,
  env: Record<string, string>,
): Promise<RawHandler> {
  const base = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/tmp', LANG: 'C.UTF-8', ...USER, ...env };
  return exec === 'http' ? httpHandler(path, { ...base, PORT: `${PORT}` }) : stdioHandler(path, base);
}

/**
 * Where the folder of functions is mounted without the right to execute, a copy in memory is run. The program may
 * remove that.
 */
function startable(
  path: string,
  tried: string,
  retry: (path: string) => void,
): (error: NodeJS.ErrnoException) => boolean {
  return ({ code }) => {
    if (tried === COPY ? code !== 'ENOENT' || existsSync(COPY) : code !== 'EACCES') return false;
    copyFileSync(path, COPY);
    chmodSync(COPY, 0o755);
    retry(COPY);
    return true;
  };
}

function stdioHandler(path: string, base: Record<string, string>): RawHandler {
  let program = path;
  let running = 0;
  let calls = 0;
  // The first call finds its pipe there.
  const first = openOutput();
  closeFile(first?.writer);
  first?.reader.once('close', () => first.done(true)).resume();
  return (body, context) =>
    new Promise((resolve, reject) => {
      const mark = `${++calls}`;
      const run = (from: string): void => {
        program = from;
        const env = { ...base, ...requestEnvironment(context, body.length), [MARK]: mark };
        const pipe = openOutput();
        const input = openInput(body);
        const stdio: StdioOptions = [input ?? 'pipe', pipe?.writer ?? 'pipe', 'inherit'];
        const child = spawn(from, [], { stdio, env, detached: true });
        closeFile(input);
        closeFile(pipe?.writer);
        const output = pipe?.reader ?? child.stdout!;
        const chunks: Buffer[] = [];
        let bytes = 0;
        let ended: [code: number | null, signal: string | null] | undefined;
        let lingering: NodeJS.Timeout | undefined;
        let clean = false;
        // `output.closed` is true a moment before its event, and its end would be told twice.
        let closed = false;
        const again = startable(path, from, run);
        running++;
        child.once('error', (error) => {
          running--;
          output.destroy();
          if (!again(error)) reject(error);
        });
        output.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes <= BODY_MAX_BYTES) chunks.push(chunk);
          else child.kill('SIGKILL');
        });
        // It need not read its input.
        child.stdin?.on('error', () => {}).end(body);
        child.once('exit', (code, signal) => {
          ended = [code, signal];
          // What it left may still write the end of the answer, and may never close its output.
          lingering = setTimeout(() => {
            endLeftovers(child.pid!, mark, running === 1);
            // It may be held by what nobody could find.
            lingering = setTimeout(() => output.destroy(), LINGER_MS);
          }, LINGER_MS);
          if (closed) answer(ended);
        });
        output.once('end', () => {
          clean = true;
        });
        output.once('close', () => {
          closed = true;
          pipe?.done(clean);
          if (ended !== undefined) answer(ended);
        });
        const answer = ([code, signal]: [code: number | null, signal: string | null]): void => {
          clearTimeout(lingering);
          CallContext.whenCallerLeaves(context, undefined);
          endLeftovers(child.pid!, mark, --running === 0);
          if (bytes > BODY_MAX_BYTES)
            reject(new Error(`the program answered with more than ${BODY_MAX_BYTES} bytes`));
          else if (code === 0) resolve(Buffer.concat(chunks));
          else reject(new Error(`the program ended with ${signal ?? `exit code ${code}`}`));
        };
        // For nobody it need not run on; its end answers the call.
        CallContext.whenCallerLeaves(context, () => {
          if (child.pid !== undefined) endLeftovers(child.pid, mark, running === 1);
        });
      };
      run(program);
    });
}

async function httpHandler(path: string, env: Record<string, string>): Promise<RawHandler> {
  let ended: Error | undefined;
  const run = (from: string): void => {
    const child = spawn(from, [], { stdio: ['ignore', 'inherit', 'inherit'], env });
    const again = startable(path, from, run);
    child.once('error', (error) => {
      if (!again(error)) ended = error;
    });
    child.once('exit', (code, signal) => {
      ended = new Error(`the program ended with ${signal ?? `exit code ${code}`}`);
      // Once it served, its end is the sandbox's.
      if (serving) throw ended;
    });
  };
  let serving = false;
  run(path);
  while (!(await listens())) {
    if (ended !== undefined) throw ended;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  serving = true;
  return async (body, context) => {
    const { method, path: target, query, headers } = context;
    const sent = Object.entries(headers).filter(([name]) => !OF_REQUEST.includes(name.toLowerCase()));
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request({
        port: PORT,
        host: '127.0.0.1',
        method,
        path: query === '' ? target : `${target}?${query}`,
        headers: { ...Object.fromEntries(sent), 'content-length': body.length },
      });
      call.once('response', resolve).on('error', reject).end(body);
      // Its server can see that nobody waits any more, and the sandbox is free.
      CallContext.whenCallerLeaves(context, () => call.destroy(new Error('the caller has left')));
      call.once('close', () => CallContext.whenCallerLeaves(context, undefined));
    });
    const told = Object.entries(answer.headersDistinct).flatMap(([name, values = []]) =>
      OWN_HEADERS.includes(name) ? [] : values.map((value) => [name, value] as [string, string]),
    );
    const status = answer.statusCode ?? 502;
    const bodiless = BODILESS.includes(status) || method === 'HEAD';
    if (bodiless) answer.resume();
    const stream = bodiless ? null : (Readable.toWeb(answer) as unknown as ReadableStream);
    return new Response(stream as unknown as null, { status, headers: told });
  };
}

function listens(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(PORT, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
