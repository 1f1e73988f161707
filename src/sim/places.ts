/**
 * How many calls run at once on a box of some cores: one a core, and one more for each call that has run for longer
 * than a quantum, as `invoke/core-places` has it. Without a number of cores there is no bound.
 */

import { HARVEST } from '../tunables.js';

export class Places {
  private running = 0;
  private long = 0;
  private staged = 0;

  constructor(private readonly cores: number | undefined) {}

  get counted(): boolean {
    return this.cores !== undefined;
  }

  /** Calls that could run now, with the fallback core's. */
  get total(): number {
    if (this.cores === undefined) return Number.POSITIVE_INFINITY;
    return 1 + Math.min(this.cores * HARVEST.sharingMax, this.cores * HARVEST.runningPerCore + this.long);
  }

  get free(): boolean {
    return this.running < this.total - 1;
  }

  get freeStaged(): boolean {
    return this.cores !== undefined && this.staged < this.cores * HARVEST.sendAhead;
  }

  enter(staged: boolean): void {
    if (staged) this.staged++;
    else this.running++;
  }

  /** The call was there for a quantum. */
  grewLong(): void {
    this.long++;
  }

  leave(staged: boolean, long: boolean): void {
    if (staged) this.staged--;
    else this.running--;
    if (long) this.long--;
  }
}
