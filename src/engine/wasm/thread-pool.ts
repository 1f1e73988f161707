/**
 * The threads of one process, which its sandboxes share: WASM.threads that stay, and more while all are busy.
 * Who needs one and has none takes that which was used least recently, of those whose sandbox runs nothing.
 */

import type { FunctionScheduling } from '../../policy/harvest/policies.js';
import { WASM } from '../../tunables/index.js';
import type { IsolateHost } from '../isolate/host.js';
import { PoolThread, type PoolThreadEnd } from './pool-thread.js';

/** A sandbox, as far as its process concerns it. */
export interface ThreadPoolMember {
  readonly exited: Promise<unknown>;
  onProcessEnded(end: PoolThreadEnd): void;
}

const PROCESS_ENDED: PoolThreadEnd = { oom: false, code: 1, host: true, stderrTail: '', violation: '' };

export class ThreadPool {
  /** Modules that a thread of the process has compiled. */
  readonly compiled = new Set<string>();
  private readonly all = new Set<PoolThread>();
  private readonly members = new Set<ThreadPoolMember>();
  private starting = 0;
  private counter = 0;
  private clock = 0;
  private trimTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly host: IsolateHost,
    private readonly scheduling: FunctionScheduling,
  ) {
    void host.exited.then(() => this.processEnded(PROCESS_ENDED));
  }

  /** Gives it its number among the functions of the process. */
  enter(member: ThreadPoolMember): number {
    this.members.add(member);
    return ++this.counter;
  }

  leave(member: ThreadPoolMember): void {
    this.members.delete(member);
  }

  /** The thread was used just now. */
  touch(thread: PoolThread): void {
    thread.usedAt = ++this.clock;
  }

  /** One that nobody occupies, or else the least recently used that runs nothing. */
  free(): PoolThread | undefined {
    let best: PoolThread | undefined;
    for (const one of this.all) {
      if (!one.free) continue;
      if (one.occupant === undefined) return one;
      if (best === undefined || one.usedAt < best.usedAt) best = one;
    }
    return best;
  }

  /** Makes one more if a new sandbox should have its own. Rejects with SANDBOX_START. */
  async prepare(): Promise<void> {
    const free = this.free();
    if (free !== undefined && free.occupant === undefined) return;
    if (this.all.size + this.starting < WASM.threads) await this.add();
  }

  /** Rejects with SANDBOX_START. */
  async add(): Promise<void> {
    const thread = new PoolThread(
      this.host,
      this.scheduling,
      (one, end) => this.threadEnded(one, end),
      () => Promise.all([...this.members].map(({ exited }) => exited)),
    );
    this.starting++;
    try {
      await thread.start();
      this.all.add(thread);
    } finally {
      this.starting--;
    }
    if (this.all.size > WASM.threads)
      this.trimTimer ??= setInterval(() => this.trim(), WASM.threadKeptMs).unref();
  }

  private trim(): void {
    const spare = this.all.size - WASM.threads;
    const free = [...this.all].filter((one) => one.free).sort((a, b) => a.usedAt - b.usedAt);
    for (const thread of free.slice(0, Math.max(0, spare))) thread.retire();
    if (spare > 0) return;
    clearInterval(this.trimTimer);
    this.trimTimer = undefined;
  }

  private threadEnded(thread: PoolThread, end: PoolThreadEnd): void {
    this.all.delete(thread);
    if (end.host) this.processEnded(end);
  }

  private processEnded(end: PoolThreadEnd): void {
    clearInterval(this.trimTimer);
    for (const member of this.members) member.onProcessEnded(end);
  }
}
