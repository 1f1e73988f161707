/** May a thread be real-time, by how much of its core it used in the last second? Pure; no allocation a tick. */

import { NF } from '../tunables/index.js';

const PART_NS = 1e9 / NF.realTimeParts;

export class RealTimeBudget {
  /** Run time in each part of the last second; unknown parts count as full. */
  private readonly parts: Float64Array;
  private sumNs = 0;
  private next = 0;
  private runNs = 0;
  private wallNs = 0;

  /** `ratio`: share of a second that the thread's groups allow, of what the kernel allows anyway. */
  constructor(
    public realTime: boolean,
    private readonly ratio = 1,
  ) {
    // A thread that is real-time already may stay so until it has used too much.
    this.parts = new Float64Array(NF.realTimeParts).fill(realTime ? 0 : PART_NS);
    this.sumNs = realTime ? 0 : 1e9;
  }

  /** One tick; returns `realTime`. Counters that jump, as after a pause of the loop, count as far as time passed. */
  observe(runNs: number, wallNs: number): boolean {
    this.runNs += Math.min(runNs, wallNs + 4e6);
    this.wallNs += wallNs;
    // At once when the second is used up, not only at the end of a part; the oldest part is leaving it.
    const usedNs = this.sumNs - this.parts[this.next]! + this.runNs;
    if (this.realTime && usedNs > NF.realTimeMost * this.ratio * 1e9) this.realTime = false;
    if (this.wallNs < PART_NS) return this.realTime;
    this.sumNs += this.runNs - this.parts[this.next]!;
    this.parts[this.next] = this.runNs;
    this.next = (this.next + 1) % this.parts.length;
    this.runNs = 0;
    this.wallNs = 0;
    if (!this.realTime && this.sumNs < NF.realTimeAgain * this.ratio * 1e9) this.realTime = true;
    return this.realTime;
  }
}
