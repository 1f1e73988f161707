/**
 * The owner's handle on an HTTP client in another process, network namespace and core: requests at a fixed rate over
 * keep-alive connections, and on request a backend that answers them behind a proxy. The process ends with its owner.
 */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../src/linux/netns.js';
import { endProcess } from '../src/linux/tied-process.js';
import { NemoError } from '../src/model/errors.js';
import type { LatencySummaryUs } from './types.js';

const MAIN = fileURLToPath(new URL('./http-load-main.js', import.meta.url));

export interface HttpLoadOptions {
  namespace: Namespace;
  /** Core of the client. */
  cpu: number;
  /** What is asked for: `http://10.0.0.2:8080/`. */
  url: string;
  requestsPerS: number;
  connections: number;
  headers?: Record<string, string>;
  /** Requests come in bursts of this mean length, with pauses as long; the mean rate stays. */
  burstMs?: number;
  /** Also answer requests here, as the server behind a proxy. */
  backend?: { host: string; port: number };
}

/** Since the last `take`. Microseconds from the time at which a request was sent to the end of its answer. */
export interface HttpLoadReport {
  completed: number;
  failed: number;
  firstError: string | null;
  p50Us: number;
  p99Us: number;
  latencyUs: LatencySummaryUs;
  /** Points [microseconds, share not slower], rising. */
  latencyCdf: Array<[number, number]>;
  /** Due, but not sent: the client's own limit. */
  notSent: number;
}

export class HttpLoad {
  private constructor(private readonly child: ChildProcess) {}

  /** Resolves when the first request was answered (or failed). */
  static async start({ namespace, cpu, ...rest }: HttpLoadOptions): Promise<HttpLoad> {
    const command = ['-c', String(cpu), process.execPath, '--enable-source-maps', MAIN, JSON.stringify(rest)];
    const child = namespace.spawn('taskset', command, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const load = new HttpLoad(child);
    await load.next();
    return load;
  }

  /** The figures since the last call. */
  take(): Promise<HttpLoadReport> {
    const answer = this.next();
    this.child.send('take');
    return answer;
  }

  close(): Promise<void> {
    return endProcess(this.child);
  }

  private async next(): Promise<HttpLoadReport> {
    const [first] = (await Promise.race([once(this.child, 'message'), once(this.child, 'exit')])) as [
      unknown,
    ];
    if (typeof first === 'object' && first !== null) return first as HttpLoadReport;
    throw new NemoError('INTERNAL', `the HTTP client ended with ${String(first)}`);
  }
}
