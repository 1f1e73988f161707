/** What others take of one function core, kept beside what its NFs and functions take. */

import type { CoreModel } from '../harvest/core-model.js';
import { OthersModel } from '../harvest/others.js';
import { OTHERS } from '../tunables.js';
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
  lookAt(
    wallNs: number,
    busyNs: number,
    nfs: readonly NfWatch[],
    sandboxes: readonly WatchedSandbox[],
  ): boolean {
    let nfNs = 0;
    for (const nf of nfs) nfNs += nf.totalRunNs / nf.nf.cores.length;
    const functionNs = this.model.totalFunctionNs;
    // An NF that came or went since makes no time pass.
    const nfDelta = Math.max(0, nfNs - this.nfRunNs);
    let functionDelta = functionNs - this.functionRunNs;
    this.nfRunNs = nfNs;
    this.functionRunNs = functionNs;
    if (Number.isNaN(wallNs)) return false;
    if (busyNs - nfDelta - functionDelta > wallNs * OTHERS.askIdleRatio) functionDelta += idleNs(sandboxes);
    const before = this.totalNs;
    const changed = this.look(wallNs, busyNs, nfDelta, functionDelta);
    this.model.leaveToOthers(this.totalNs - before);
    return changed;
  }
}

/** What sandboxes used that have no call: their background work is nobody else's. */
function idleNs(sandboxes: readonly WatchedSandbox[]): number {
  let sum = 0;
  for (const sandbox of sandboxes) {
    if (sandbox.busy) continue;
    const cpuNs = sandbox.throttle.readCpuNs();
    sum += Math.max(0, cpuNs - sandbox.cpuNs);
    sandbox.cpuNs = cpuNs;
  }
  return sum;
}
