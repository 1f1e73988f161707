/**
 * An instance drives one sandbox: the calls it has, in the order they were sent. The first `concurrency` of them run;
 * those behind were sent ahead and have certainly not started, so they can go elsewhere if the sandbox ends.
 */

import type { StemKind } from '../engine/engines.js';
import type { Cgroup } from '../linux/cgroup/driver.js';
import type { StartKind } from '../model/call.js';
import type { FunctionSpec } from '../model/function.js';
import type { Sandbox } from '../sandbox/engine.js';
import { POOL } from '../tunables/index.js';
import type { ActiveCall } from './calls.js';

export type InstanceState = 'starting' | 'stem' | 'loading' | 'warm' | 'ending';

export class Instance {
  state: InstanceState = 'starting';
  sandbox: Sandbox | undefined;
  spec: FunctionSpec | undefined;
  /** The one function that it can load, if it was started with that one. */
  madeFor: FunctionSpec | undefined;
  readonly calls: ActiveCall[] = [];
  /** How ready it was when a call asked for it; `warm` if it was made ahead. */
  origin: StartKind = 'warm';
  served = 0;
  lastUsedMs: number;
  /** When a call asked for it; NaN if it was made ahead. */
  askedMs = Number.NaN;
  /** When its code was loaded. */
  warmSinceMs = Number.POSITIVE_INFINITY;
  /**
   * True while its calls count as running. A busy instance without it is on standby: its sandbox has the call and a weight
   * of next to nothing, so that the kernel gives it the core in the very moment in which the running one pauses or
   * ends.
   */
  running = false;
  /** What its cgroup's weight is now. */
  weight: 'normal' | 'low' = 'normal';
  /** Its limit, which is what counts against the memory for sandboxes. */
  memoryBytes: number = POOL.memoryMaxDefaultBytes;
  /** The pool's ageing clock when it was last used. */
  clockAtUse = 0;
  /** Its function was changed or removed: it ends as soon as it is idle. */
  retired = false;
  /** It ends by itself as soon as it is idle, and takes no call. */
  drains = false;
  /** It is gone, and nobody had asked for it. */
  endedItself = false;

  constructor(
    readonly id: string,
    readonly stemKind: StemKind,
    public core: number,
    readonly slot: number,
    readonly cgroup: Cgroup,
    nowMs: number,
  ) {
    this.lastUsedMs = nowMs;
  }

  /** Empty before it has a function. */
  get functionKey(): string {
    return this.spec?.ref.key ?? '';
  }

  /** It has its code and may take calls. */
  get isLive(): boolean {
    return this.state === 'warm' && !this.retired;
  }

  get idle(): boolean {
    return this.calls.length === 0;
  }

  get load(): number {
    return this.calls.length;
  }

  /** Free places, without those for calls sent ahead. */
  get room(): number {
    return (this.spec?.concurrency ?? 1) - this.calls.length;
  }

  /** Gives every call that its sandbox may begin now its deadline, and those that have their turn a start time. */
  beginCalls(nowMs: number): void {
    const begun = Math.min(this.calls.length, this.spec!.concurrency);
    for (let i = 0; i < begun; i++) {
      const call = this.calls[i]!;
      if (Number.isNaN(call.deadlineMs)) call.deadlineMs = nowMs + call.allowedMs;
      if (this.running && Number.isNaN(call.runningMs)) call.runningMs = nowMs;
    }
  }

  /** The first deadline of its calls; infinity: none has begun. */
  get deadlineMs(): number {
    let firstMs = Number.POSITIVE_INFINITY;
    for (const { deadlineMs } of this.calls) if (deadlineMs < firstMs) firstMs = deadlineMs;
    return firstMs;
  }

  /** Since when the instance has held its place on the core; NaN if idle. */
  get heldSinceMs(): number {
    return this.calls.length === 0 ? Number.NaN : this.calls[0]!.runningMs;
  }
}
