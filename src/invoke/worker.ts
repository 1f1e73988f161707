/**
 * A worker drives one sandbox: the calls it has, in the order they were sent. The first `concurrency` of them run;
 * those behind were sent ahead and have certainly not started, so they can go elsewhere if the sandbox ends.
 */

import type { Cgroup } from '../linux/cgroup/driver.js';
import type { Sandbox } from '../sandbox/engine.js';
import type { StemKind } from '../sandbox/engines/engines.js';
import { POOL } from '../tunables.js';
import type { CallRequest, CallTimeline, FunctionSpec, Sink, StartKind } from './function.js';
import type { FunctionState } from './function-state.js';

export interface PendingCall {
  request: CallRequest;
  sink: Sink;
  acceptedMs: number;
  /** True once any part of the answer went out: such a call can not be sent again. */
  answered: boolean;
  /** It is in the queue of its function. */
  waits: boolean;
  /** The worker that has it. */
  worker: Worker | undefined;
  fn: FunctionState;
  /** When its caller left; NaN while it is there. */
  leftMs: number;
  /** How often it came back from a sandbox that ended before it began. */
  returns: number;
}

export interface ActiveCall extends PendingCall {
  dispatchedMs: number;
  /** Service that its function was charged for it in advance, ms. */
  chargedMs: number;
  /** When it got its turn in the sandbox; NaN while it waits there. */
  runningMs: number;
  /** What it may take from the moment at which its sandbox may begin it, as its function is told. */
  allowedMs: number;
  /** When it is ended; NaN until its sandbox may begin it. */
  deadlineMs: number;
  firstByteMs: number;
  start: StartKind;
  firstInSandbox: boolean;
}

/** One object from its acceptance to its end: what is not known yet is NaN. */
export function acceptedCall(
  request: CallRequest,
  sink: Sink,
  fn: FunctionState,
  acceptedMs: number,
): ActiveCall {
  return {
    request,
    sink,
    fn,
    acceptedMs,
    answered: false,
    waits: false,
    worker: undefined,
    leftMs: Number.NaN,
    returns: 0,
    dispatchedMs: Number.NaN,
    chargedMs: 0,
    runningMs: Number.NaN,
    allowedMs: 0,
    deadlineMs: Number.NaN,
    firstByteMs: Number.NaN,
    start: 'warm',
    firstInSandbox: false,
  };
}

export function timelineOf(call: ActiveCall, worker: Worker, endedMs: number): CallTimeline {
  return {
    acceptedMs: call.acceptedMs,
    dispatchedMs: call.dispatchedMs,
    firstByteMs: call.firstByteMs,
    endedMs,
    start: call.start,
    firstInSandbox: call.firstInSandbox,
    core: worker.core,
    sandboxId: worker.id,
  };
}

export type WorkerState = 'starting' | 'stem' | 'loading' | 'warm' | 'ending';

export class Worker {
  state: WorkerState = 'starting';
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
   * True while its calls count as running. A busy worker without it is staged: its sandbox has the call and a weight
   * of next to nothing, so that the kernel gives it the core in the very moment in which the running one pauses or
   * ends.
   */
  turn = false;
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

  get functionName(): string {
    return this.spec?.name ?? '';
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
      if (this.turn && Number.isNaN(call.runningMs)) call.runningMs = nowMs;
    }
  }

  /** The first deadline of its calls; infinity: none has begun. */
  get deadlineMs(): number {
    let firstMs = Number.POSITIVE_INFINITY;
    for (const { deadlineMs } of this.calls) if (deadlineMs < firstMs) firstMs = deadlineMs;
    return firstMs;
  }

  /** Since when the worker has held its place on the core; NaN if idle. */
  get heldSinceMs(): number {
    return this.calls.length === 0 ? Number.NaN : this.calls[0]!.runningMs;
  }
}
