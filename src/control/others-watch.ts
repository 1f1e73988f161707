/** Measures twice a second what others take of the function cores: /proc/stat has how long each was not idle. */

import { CpuStat, Tick } from '../linux/procfs.js';
import { OTHERS } from '../tunables/index.js';
import type { CoreController } from './core-controller.js';

/** /proc/stat counts in USER_HZ, which is 100 everywhere. */
const NS_PER_TICK = 1e7;
/** Time that the hypervisor took cannot be harvested either. */
const BUSY = [Tick.user, Tick.nice, Tick.system, Tick.irq, Tick.softirq, Tick.steal] as const;

export class OthersWatch {
  private readonly stat: CpuStat;
  private readonly busyNs: Float64Array;
  private sampledNs = Number.NaN;

  constructor(private readonly cores: readonly CoreController[]) {
    const count = Math.max(0, ...cores.map(({ core }) => core)) + 1;
    this.stat = new CpuStat(count);
    this.busyNs = new Float64Array(count);
  }

  /** Call it as often as you like. `onChange`: others began to take all of a core, or left it. */
  sample(nowNs: number, onChange: (core: CoreController) => void): void {
    const wallNs = nowNs - this.sampledNs;
    // The kernel adds up interrupts for this file: on a large machine that takes a while.
    if (wallNs < OTHERS.windowMs * 1e6) return;
    this.stat.read();
    for (const watch of this.cores) {
      let busyNs = 0;
      for (const field of BUSY) busyNs += this.stat.get(watch.core, field) * NS_PER_TICK;
      const before = this.busyNs[watch.core]!;
      this.busyNs[watch.core] = busyNs;
      if (watch.sampleOthers(wallNs, busyNs - before)) onChange(watch);
    }
    this.sampledNs = nowNs;
  }
}
