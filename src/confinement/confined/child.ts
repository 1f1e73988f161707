/**
 * One confined program from its start to its end. What it prints is bounded and believed by nobody here; an end of any
 * kind is an outcome, not an exception.
 */

import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ChildProcess, spawn } from '../../linux/spawn.js';
import { printable } from '../../model/printable.js';
import { STARTED } from './protocol.js';

export type ConfinedOutcome =
  | { kind: 'answered'; output: Buffer }
  /** It ended without an answer, or was ended. `why`: in words, as `printed too much`. */
  | { kind: 'ended'; why: string }
  /** Its time is up, and not that on a core, which is much shorter: other programs of the box kept the cores from it. */
  | { kind: 'starved'; seconds: number }
  /** The program never ran: a fault of this host. */
  | { kind: 'not-started'; why: string };

export interface ConfinedChildOptions {
  /** Whole input, a stream, or a descriptor that the program reads itself. */
  input: Buffer | Readable | number;
  outputMaxBytes: number;
  timeoutMs: number;
}

/** Of a program that SIGXCPU ended, as bwrap tells it. */
export const CPU_TIME_UP = 128 + 24;
const STDERR_MAX = 2_000;
const LAST_LINE_MAX = 300;

export async function runConfined(
  command: readonly string[],
  options: ConfinedChildOptions,
): Promise<ConfinedOutcome> {
  const { input, outputMaxBytes, timeoutMs } = options;
  const [program, ...args] = command;
  const child = spawnConfined(program!, args, [typeof input === 'number' ? input : 'pipe', 'pipe']);
  let why: string | undefined;
  let starved = false;
  const end = (reason: string): void => {
    why ??= reason;
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => {
    starved = why === undefined;
    child.kill('SIGKILL');
  }, timeoutMs);
  const output: Buffer[] = [];
  let bytes = 0;
  let errors = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > outputMaxBytes) end('printed too much');
    else output.push(chunk);
  });
  child.stderr!.on('data', (text: Buffer) => {
    errors = `${errors}${text.toString('latin1')}`.slice(-STDERR_MAX);
  });
  let inputError: Error | undefined;
  if (typeof input !== 'number') {
    // It may end before it has read all.
    child.stdin!.on('error', () => {});
    if (Buffer.isBuffer(input)) child.stdin!.end(input);
    else
      pipeline(input, child.stdin!).catch((error: Error) => {
        if (isBrokenPipe(error)) return;
        inputError = error;
        child.kill('SIGKILL');
      });
  }
  const code = await ended(child);
  clearTimeout(timer);
  if (inputError !== undefined) throw inputError;
  const all = Buffer.concat(output);
  const began = all.subarray(0, STARTED.length).toString('latin1') === STARTED;
  if (code === 0 && began && why === undefined)
    return { kind: 'answered', output: all.subarray(STARTED.length) };
  if (starved) return { kind: 'starved', seconds: timeoutMs / 1_000 };
  if (code === CPU_TIME_UP) return { kind: 'ended', why: 'took too much CPU time' };
  const last = printable(errors.trim().split('\n').at(-1) ?? '').slice(0, LAST_LINE_MAX);
  if (!began && why === undefined && code !== null)
    return { kind: 'not-started', why: last || `it ended with code ${code}` };
  return { kind: 'ended', why: why ?? 'took too much memory' };
}

/** In a session of its own, with nothing of this process's environment. */
export function spawnConfined(
  program: string,
  args: readonly string[],
  [stdin, stdout]: readonly ['pipe' | 'ignore' | number, 'pipe' | number],
): ChildProcess {
  return spawn(program, args, {
    stdio: [stdin, stdout, 'pipe'],
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    detached: true,
  });
}

/** Its exit code, null after a signal. */
export function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code));
  });
}

/** What was written to has ended, and tells why itself. Versions of node differ in how they call it. */
export function isBrokenPipe({ syscall, code = '' }: NodeJS.ErrnoException): boolean {
  if (syscall === 'write') return true;
  return ['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'].includes(code);
}
