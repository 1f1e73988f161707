/**
 * The owner's handle on a traffic process: packets made, sent through an NF and measured in another process, on
 * its own core, in its own network namespace. The process ends with its owner, whatever happens to that.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { requireCore } from '../../linux/allowed-cores.js';
import type { Namespace } from '../../linux/netns.js';
import type { ChildProcess } from '../../linux/spawn.js';
import { endProcess } from '../../linux/tied-process.js';
import { NemoError } from '../../model/errors.js';
import { TRAFFIC } from '../../tunables/index.js';
import {
  errorFromWire,
  type TrafficReply,
  type TrafficReport,
  type TrafficRequest,
  type TrafficSpec,
  type TrafficTotals,
} from './spec.js';

const MAIN = fileURLToPath(new URL('./traffic-main.js', import.meta.url));

export interface TrafficOptions {
  namespace: Namespace;
  /** Interfaces of that namespace: `near` leads to the NF's `--in`, `far` to its `--out`. */
  near: string;
  far: string;
  /** Core of the whole process. */
  cpu: number;
  /** Default true. */
  noiseProbe?: boolean;
}

type Body<T> = T extends unknown ? Omit<T, 'id'> : never;

export class Traffic {
  private nextId = 1;
  private readonly answers = new Map<
    number,
    { resolve: (result: unknown) => void; reject: (error: Error) => void }
  >();
  private failure: NemoError | undefined;
  private whenEnded: Promise<void> = Promise.resolve();
  private notifyEnded: () => void = () => {};

  private constructor(private readonly child: ChildProcess) {
    child.on('message', (reply: TrafficReply) => this.receive(reply));
    child.on('exit', (code, signal) =>
      this.fail(new NemoError('INTERNAL', `the traffic process ended (${signal ?? `exit code ${code}`})`)),
    );
    child.on('error', (cause) => this.fail(new NemoError('INTERNAL', cause.message, { cause })));
  }

  /** Resolves when its sockets are open. Throws NO_SUCH_INTERFACE, NO_SUCH_CORE, NOT_ROOT, SYSCALL. */
  static async start(options: TrafficOptions): Promise<Traffic> {
    const { near, far, noiseProbe = true } = options;
    requireCore(options.cpu);
    const command = ['-c', String(options.cpu), process.execPath, '--enable-source-maps', MAIN];
    const child = options.namespace.spawn('taskset', command, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const traffic = new Traffic(child);
    try {
      await traffic.ask({ op: 'open', options: { near, far, noiseProbe } });
    } catch (thrown) {
      await traffic.close();
      throw thrown;
    }
    return traffic;
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Starts traffic, in place of what ran before. Resolves when it flows; BAD_CAPTURE, BAD_CONFIG. */
  async run(spec: TrafficSpec): Promise<void> {
    this.notifyEnded();
    this.whenEnded = new Promise((resolve) => {
      this.notifyEnded = resolve;
    });
    await this.ask({ op: 'run', spec });
  }

  /** Resolves when the run that has a limit is over. */
  ended(): Promise<void> {
    return this.whenEnded;
  }

  async stop(): Promise<void> {
    await this.ask({ op: 'stop' });
    this.notifyEnded();
  }

  /** Opens a measuring window; `report` closes it. */
  async mark(): Promise<void> {
    await this.ask({ op: 'mark' });
  }

  /** Takes `drainMs` longer than the window: what is under way may still arrive. */
  async report(drainMs: number = TRAFFIC.drainMs): Promise<TrafficReport> {
    return (await this.ask({ op: 'report', drainMs })) as TrafficReport;
  }

  async measure(seconds: number): Promise<TrafficReport> {
    await this.mark();
    await delay(seconds * 1e3);
    return this.report();
  }

  async totals(): Promise<TrafficTotals> {
    return (await this.ask({ op: 'totals' })) as TrafficTotals;
  }

  close(): Promise<void> {
    this.fail(new NemoError('STOPPING', 'the traffic process was closed'));
    return endProcess(this.child);
  }

  private ask(body: Body<TrafficRequest>): Promise<unknown> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.answers.set(id, { resolve, reject });
      this.child.send({ id, ...body } as TrafficRequest, (error) => {
        if (error !== null) this.fail(new NemoError('INTERNAL', error.message, { cause: error }));
      });
    });
  }

  private receive(reply: TrafficReply): void {
    if ('ended' in reply) this.notifyEnded();
    else if ('fatal' in reply) this.fail(errorFromWire(reply.fatal));
    else {
      const answer = this.answers.get(reply.id);
      this.answers.delete(reply.id);
      if ('error' in reply) answer?.reject(errorFromWire(reply.error));
      else answer?.resolve(reply.result);
    }
  }

  /** The first failure is the one that is told, to everybody who waits and to all who ask later. */
  private fail(error: NemoError): void {
    this.failure ??= error;
    for (const { reject } of this.answers.values()) reject(this.failure);
    this.answers.clear();
    this.notifyEnded();
  }
}
