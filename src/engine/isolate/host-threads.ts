/**
 * The threads of one isolate process: whose each is, and which have yet to connect. What the process says of its
 * threads is the word of whoever may have taken it over: a token is good for one connection, and a thread that was
 * there before it was asked for, or that is another sandbox's, is not accepted.
 */

import { randomBytes } from 'node:crypto';
import { threadInside, threadsOf } from '../../linux/threads.js';
import type { NemoError } from '../../model/errors.js';
import { Deferred } from '../../sandbox/ends.js';
import type { Connected, ThreadOwner } from './thread-owner.js';

export interface HostThread {
  readonly id: string;
  owner: ThreadOwner;
  /** Empty once it was used. */
  token: string;
  /** Threads of the process before this one was asked for: none of them can be it. */
  before: ReadonlySet<number>;
  /** Its number on the host, once it is known. */
  tid: number;
  connected: Deferred<Connected>;
}

export class HostThreads {
  private readonly byId = new Map<string, HostThread>();
  private counter = 0;

  get size(): number {
    return this.byId.size;
  }

  get all(): HostThread[] {
    return [...this.byId.values()];
  }

  get(id: string): HostThread | undefined {
    return this.byId.get(id);
  }

  add(owner: ThreadOwner): HostThread {
    const id = `t${++this.counter}`;
    const token = randomBytes(16).toString('hex');
    const thread = {
      id,
      owner,
      token,
      before: new Set<number>(),
      tid: 0,
      connected: new Deferred<Connected>(),
    };
    this.byId.set(id, thread);
    return thread;
  }

  remove(id: string): HostThread | undefined {
    const thread = this.byId.get(id);
    this.byId.delete(id);
    return thread;
  }

  /** How many have not connected yet. */
  get awaited(): number {
    let count = 0;
    for (const { token } of this.byId.values()) if (token !== '') count++;
    return count;
  }

  /** The thread that was given this token. */
  claim(token: unknown): HostThread | undefined {
    const thread = token === '' ? undefined : this.all.find((one) => one.token === token);
    if (thread !== undefined) thread.token = '';
    return thread;
  }

  /** Finds the thread with the number `inside` of the process `pid`. False if it cannot be `thread`. */
  identify(thread: HostThread, pid: number, inside: unknown): boolean {
    const tid = typeof inside === 'number' ? threadInside(pid, inside) : undefined;
    if (tid === undefined || thread.before.has(tid) || this.all.some((other) => other.tid === tid))
      return false;
    thread.tid = tid;
    return true;
  }

  /** Those of the process that are not its main thread and belong to no sandbox. */
  helpersOf(pid: number): number[] {
    const others = new Set([pid, ...this.all.map(({ tid }) => tid)]);
    return threadsOf(pid).filter((tid) => !others.has(tid));
  }

  /** Threads that have yet to connect will not. */
  rejectAwaited(error: NemoError): void {
    for (const { connected } of this.all) connected.reject(error);
  }
}
