/**
 * How fast a sandbox's counters move. Marks are set at a slow pace off the loop's ticks; at a conflict they are compared
 * with now, so that what the function does at this moment shows and a tick pays nothing.
 */

import { CgroupCounters } from '../linux/cgroup/counters.js';
import type { CgroupHandle } from '../linux/cgroup/driver.js';
import { COUNTERS } from '../policy/conflict/attribution.js';
import { CONFLICT, CONTROL } from '../tunables/index.js';

interface Mark {
  atMs: number;
  values: Float64Array;
}

const mark = (): Mark => ({ atMs: Number.NEGATIVE_INFINITY, values: new Float64Array(COUNTERS.length) });

export class CounterRates {
  /** Each of COUNTERS, a second. */
  readonly rates = new Float64Array(COUNTERS.length);
  private counters: CgroupCounters | undefined;
  private last = mark();
  private before = mark();
  private now = mark();

  constructor(private readonly handle: CgroupHandle) {}

  /** Called some times a second while it runs: a box has thousands of sandboxes that do not, and need no files. */
  mark(nowMs: number): void {
    this.read(nowMs);
    const oldest = this.before;
    this.before = this.last;
    this.last = this.now;
    this.now = oldest;
  }

  /** At a conflict: brings `rates` up to date. */
  sample(nowMs: number): void {
    if (this.counters === undefined) return;
    this.read(nowMs);
    // Kernel time is counted at the kernel's ticks: a mark that is too young says nothing.
    const since = nowMs - this.last.atMs >= CONFLICT.countersMs ? this.last : this.before;
    if (since.atMs === Number.NEGATIVE_INFINITY) return;
    // While it was idle nothing was marked, and nothing moved.
    const seconds = Math.min(nowMs - since.atMs, 2_000 / CONTROL.reportHz) / 1_000;
    for (let k = 0; k < this.rates.length; k++) {
      this.rates[k] = Math.max(0, this.now.values[k]! - since.values[k]!) / seconds;
    }
  }

  close(): void {
    this.counters?.close();
  }

  private read(nowMs: number): void {
    this.counters ??= new CgroupCounters(this.handle);
    const { counters, now } = this;
    counters.read();
    now.atMs = nowMs;
    now.values[0] = counters.kernelNs / 1e9;
    now.values[1] = counters.faults;
    now.values[2] = counters.memoryBytes;
  }
}
