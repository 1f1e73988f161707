/**
 * What others than NFs and functions take of a core: spare is what they all leave. A core of which they take (nearly) all
 * is left, whatever they are called: a polling thread that no profile knows is as busy as one that computes. Pure.
 */

import { OTHERS } from '../../tunables/index.js';

export class OthersModel {
  /** Share of the core that others took in the last window. */
  ratio = 0;
  /** They, with the NF, leave nothing of the core. */
  taken = false;
  totalNs = 0;
  private wallNs = 0;
  private busyNs = 0;
  private nfNs = 0;
  private functionNs = 0;
  private agreeing = 0;

  /**
   * What passed since the last look: wall time, time in which the core was not idle, CPU time of its NFs and of functions.
   * Returns true if `taken` changed.
   */
  account(wallNs: number, busyNs: number, nfNs: number, functionNs: number): boolean {
    this.wallNs += wallNs;
    this.busyNs += busyNs;
    this.nfNs += nfNs;
    this.functionNs += functionNs;
    // Busy time is counted in hundredths of a second.
    if (this.wallNs < OTHERS.windowMs * 1e6) return false;
    const othersNs = Math.min(this.wallNs, this.busyNs) - this.nfNs - this.functionNs;
    const share = Math.max(0, othersNs / this.wallNs);
    this.ratio = share < OTHERS.least ? 0 : Math.min(1, share);
    const nfRatio = Math.min(1, this.nfNs / this.wallNs);
    this.totalNs += this.ratio * this.wallNs;
    this.wallNs = 0;
    this.busyNs = 0;
    this.nfNs = 0;
    this.functionNs = 0;
    return this.judge(nfRatio);
  }

  private judge(nfRatio: number): boolean {
    const { ratio, taken } = this;
    const all = nfRatio + ratio;
    const differs = taken ? all < OTHERS.leftRatio : all >= OTHERS.takenRatio && ratio >= OTHERS.takenLeast;
    this.agreeing = differs ? this.agreeing + 1 : 0;
    if (this.agreeing < (taken ? OTHERS.leftWindows : OTHERS.takenWindows)) return false;
    this.taken = !taken;
    this.agreeing = 0;
    return true;
  }
}
