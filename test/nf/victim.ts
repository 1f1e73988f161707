/** A process to be found, protected and measured; see programs/threads.ts. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { endProcess } from '../../src/linux/tied-process.js';

const program = (name: string) => fileURLToPath(new URL(`./programs/${name}.js`, import.meta.url));

export interface Victim {
  child: ChildProcess;
  /** Of the process that spoke: with a master, its child's. */
  pid: number;
  tids: number[];
  end(): Promise<void>;
}

/** The first line of output of one of the programs, parsed. The process ends with this one: its standard input closes. */
export async function startProgram(
  name: string,
  args: readonly string[],
): Promise<{ child: ChildProcess; first: unknown }> {
  const child = spawn(process.execPath, [program(name), ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout! });
  const first = await new Promise<string>((resolve, reject) => {
    lines.once('line', resolve);
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code}`)));
  });
  return { child, first: JSON.parse(first) };
}

export async function startVictim(title: string, workers = 0, ...more: string[]): Promise<Victim> {
  const { child, first } = await startProgram('threads', [title, String(workers), ...more]);
  const { pid, tids } = first as { pid: number; tids: number[] };
  return { child, pid, tids, end: () => endProcess(child) };
}
