/** What others take of one function core, kept beside what its NFs and functions take. */

import type { CoreModel } from '../policy/harvest/core-model.js';
import { OthersModel } from '../policy/harvest/others.js';
import { OTHERS } from '../tunables/index.js';
import type { NfWatch } from './nf-watch.js';
import type { WatchedSandbox } from './watched-sandbox.js';

export class CoreOthers extends OthersModel {
  private nfRunNs = 0;
  private functionRunNs = 0;

  constructor(private readonly model: CoreModel) {
    super();
  }

  /**
   * Some times a second. `wallNs`, `busyNs`: what passed since the last look, and how much of it the core was not idle; NaN
   * at the first. True if they took it, or left it.
   */
  sample(
    wallNs: number,
    busyNs: number,
    nfs: readonly NfWatch[],
    sandboxes: readonly WatchedSandbox[],
  ): boolean {
    let nfNs = 0;
    for (const nf of nfs) nfNs += nf.totalRunNs / nf.nf.cores.length;
    const functionNs = this.model.totalFunctionNs;
    // An NF that came or went since then must not count as time.
    const nfDelta = Math.max(0, nfNs - this.nfRunNs);
    let functionDelta = functionNs - this.functionRunNs;
    this.nfRunNs = nfNs;
    this.functionRunNs = functionNs;
    if (Number.isNaN(wallNs)) return false;
    const unexplained = busyNs - nfDelta - functionDelta > wallNs * OTHERS.least;
    functionDelta += sampleIdle(sandboxes, wallNs, unexplained);
    const before = this.totalNs;
    const changed = this.account(wallNs, busyNs, nfDelta, functionDelta);
    this.model.leaveToOthers(this.totalNs - before);
    return changed;
  }
}

/**
 * Which sandboxes compute without a call. Returns what they used and was not counted yet: their background work is nobody
 * else's. `all`: else only those that did so before are looked at, whom each tick counts.
 */
function sampleIdle(sandboxes: readonly WatchedSandbox[], wallNs: number, all: boolean): number {
  let sum = 0;
  for (const sandbox of sandboxes) {
    if (all && !sandbox.busy) {
      const cpuNs = sandbox.throttle.readCpuNs();
      const usedNs = Math.max(0, cpuNs - sandbox.cpuNs);
      sandbox.cpuNs = cpuNs;
      sandbox.idleNs += usedNs;
      sum += usedNs;
    }
    // A frozen sandbox uses no time, which proves nothing.
    if (!sandbox.throttle.isFrozen) sandbox.restless = sandbox.idleNs > wallNs * OTHERS.restlessRatio;
    sandbox.idleNs = 0;
  }
  return sum;
}
