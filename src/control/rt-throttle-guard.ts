/**
 * Keeps an NF's thread real-time for as long as the kernel bears it. A real-time thread that needs its whole core is
 * stopped by the kernel for 50 ms of each second; the queue that grows meanwhile takes it the next second to empty, so an
 * NF near its limit would never come out of it. Such a thread goes on at a nice value until it needs less.
 */

import { getScheduling, setScheduling } from '../linux/sched.js';
import { NemoError } from '../model/errors.js';
import { NF } from '../tunables/index.js';
import { RealTimeBudget } from './real-time-budget.js';

export class RtThrottleGuard {
  private readonly budget: RealTimeBudget;

  constructor(
    private readonly tid: number,
    private readonly priority: number,
    ratio = 1,
  ) {
    this.budget = new RealTimeBudget(this.has() !== 'fair', ratio);
  }

  /** One tick; a system call only when the thread has to change. */
  tick(runNs: number, wallNs: number): void {
    const was = this.budget.realTime;
    const realTime = this.budget.observe(runNs, wallNs);
    if (realTime === was) return;
    // Not as we left it: its owner, or NEMO on its way out, has put it back meanwhile.
    if (this.has() !== (was ? 'real-time' : 'fair')) return;
    const wanted = realTime
      ? ({ policy: 'fifo', priority: this.priority } as const)
      : ({ policy: 'other', nice: NF.fallbackNice } as const);
    try {
      setScheduling(this.tid, { ...wanted, resetOnFork: true });
    } catch (thrown) {
      if (!(thrown instanceof NemoError)) throw thrown;
    }
  }

  /** What the thread has now, of the two that NEMO gives it. */
  private has(): 'real-time' | 'fair' | undefined {
    try {
      const { policy, priority, nice } = getScheduling(this.tid);
      if (policy === 'fifo' && priority === this.priority) return 'real-time';
      return policy === 'other' && nice === NF.fallbackNice ? 'fair' : undefined;
    } catch (thrown) {
      if (thrown instanceof NemoError) return undefined;
      throw thrown;
    }
  }
}
