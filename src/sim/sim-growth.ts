/** What the growth of a box does, in virtual time: a sandbox for a call that waits, if there is memory for one. */

import { DISPATCH } from '../tunables.js';
import type { SimBox } from './sim-box.js';
import type { SimFunction, SimSandbox, SimStart } from './sim-function.js';

export class SimGrowth {
  constructor(
    private readonly box: SimBox,
    /** A stem may have been taken. */
    private readonly onStarted: () => void,
  ) {}

  /** Starts one more; no effect where there is no memory. */
  start(fn: SimFunction): void {
    const { nowMs, pool, starts, asked, options } = this.box;
    const { costs, policies } = options;
    if (nowMs < fn.growNotBeforeMs) return;
    fn.usage.misses.record(nowMs);
    let sandbox: SimSandbox | undefined;
    let origin: SimStart = 'cold';
    let tookMs = costs.coldMs + fn.importMs()!;
    if (policies.prewarm.restoreFirst === true && fn.hasImage && costs.restoreMs !== undefined) {
      origin = 'restored';
      tookMs = costs.restoreMs;
    } else {
      sandbox = pool.takeStem(fn);
      if (sandbox !== undefined) {
        origin = 'stem';
        tookMs = costs.stemMs + fn.importMs(sandbox)!;
      }
    }
    // One with packages was there in its place.
    if (sandbox === undefined || sandbox.hashes.length === 0) asked.record(nowMs);
    if (sandbox === undefined) {
      if (!pool.makeRoom()) {
        this.noRoom(fn);
        return;
      }
      sandbox = pool.make();
    }
    sandbox.fn = fn;
    sandbox.usage = fn.usage;
    sandbox.origin = origin;
    sandbox.madeMs = nowMs;
    fn.starting++;
    starts.add(nowMs, tookMs, { kind: 'ready', sandbox, call: -1 });
    this.onStarted();
  }

  /** Calls wait if a sandbox of the function lives, and fail otherwise. */
  private noRoom(fn: SimFunction): void {
    const { nowMs, events, result } = this.box;
    fn.growNotBeforeMs = nowMs + DISPATCH.growBackoffMs;
    if (fn.live + fn.starting + fn.making > 0) {
      events.push(fn.growNotBeforeMs, { kind: 'again', fn });
      return;
    }
    for (; fn.queued > 0; fn.shift()) result.rejected++;
  }
}
