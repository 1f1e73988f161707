/**
 * What dispatcher, pool and planner keep of functions, of the instances that drive their sandboxes, and of calls. Each names
 * the others, so they are one file.
 *
 *   FunctionState -- instances --> Instance -- calls --> ActiveCall -- fn --> FunctionState
 *
 * An instance drives one sandbox: the calls it has, in the order they were sent. The first `concurrency` of them run;
 * those behind were sent ahead and have certainly not started, so they can go elsewhere if the sandbox ends.
 */

import type { StemKind } from '../engine/engines.js';
import type { Cgroup } from '../linux/cgroup/driver.js';
import type { NemoError } from '../model/errors.js';
import type { CallRequest, CallTimeline, FunctionSpec, Sink, StartKind } from '../model/function.js';
import { RollingLatency } from '../packet/rolling-latency.js';
import type { PrewarmFunction } from '../policy/prewarm/next.js';
import type { ServiceShare } from '../policy/scheduling/fair-queue.js';
import { Usage } from '../policy/usage/usage.js';
import type { Sandbox } from '../sandbox/engine.js';
import { DISPATCH, POOL } from '../tunables/index.js';
import { type QueuedBytes, WaitingCalls } from './waiting-calls.js';

export interface PendingCall {
  request: CallRequest;
  sink: Sink;
  acceptedMs: number;
  /** True once any part of the answer went out: such a call can not be sent again. */
  answered: boolean;
  /** It is in the queue of its function. */
  waits: boolean;
  /** The instance that has it. */
  instance: Instance | undefined;
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
    instance: undefined,
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

export function timelineOf(call: ActiveCall, instance: Instance, endedMs: number): CallTimeline {
  return {
    acceptedMs: call.acceptedMs,
    dispatchedMs: call.dispatchedMs,
    firstByteMs: call.firstByteMs,
    endedMs,
    start: call.start,
    firstInSandbox: call.firstInSandbox,
    core: instance.core,
    sandboxId: instance.id,
  };
}

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

/** One function: its queue, its instances, its share of service and its figures. */
export class FunctionState implements ServiceShare, PrewarmFunction {
  /** `FunctionRef.key`, the same for all its versions. */
  readonly key: string;
  readonly instances: Instance[] = [];
  /** Instances being made or loaded because calls wait. */
  starting = 0;
  virtualMs = 0;
  /** What policies go by. */
  readonly usage = new Usage();
  meanMs: number = DISPATCH.meanFirstMs;
  lastUsedMs: number;
  /** Set while the code of now is known not to load: nobody tries again before `notBeforeMs`. */
  loadError: NemoError | undefined;
  notBeforeMs = 0;
  private loadFailures = 0;
  /** Sandboxes that could not be made ahead of calls, or ended before their first one, since a call was answered. */
  private madeInVain = 0;
  /** The box had nothing for one more sandbox. */
  growNotBeforeMs = 0;
  completed = 0;
  failed = 0;
  readonly starts: Record<StartKind, number> = { cold: 0, stem: 0, warm: 0 };
  readonly latency;
  private readonly waiting: WaitingCalls<PendingCall>;

  constructor(
    public spec: FunctionSpec,
    nowMs: number,
    queuedBytes: QueuedBytes,
    latencyParts: number = DISPATCH.latencyParts,
  ) {
    this.key = spec.ref.key;
    this.lastUsedMs = nowMs;
    this.latency = new RollingLatency(latencyParts);
    this.waiting = new WaitingCalls<PendingCall>(queuedBytes);
  }

  get sandboxes(): number {
    let sandboxes = this.starting;
    for (const { retired, state } of this.instances) {
      if (!retired && (state === 'loading' || state === 'warm')) sandboxes++;
    }
    return sandboxes;
  }

  get queued(): number {
    return this.waiting.count;
  }

  /** One of its instances has a call. */
  get busy(): boolean {
    for (const instance of this.instances) if (!instance.idle) return true;
    return false;
  }

  /** Sandboxes are being made for it, and none could take a call yet. */
  get onlyStarts(): boolean {
    return this.starting > 0 && !this.instances.some(({ state }) => state === 'warm');
  }

  /** Bodies of the calls that wait. */
  get queuedBytes(): number {
    return this.waiting.bytes;
  }

  /** Another version of the code: what was known of the old one no longer counts. */
  replace(spec: FunctionSpec, nowMs: number): void {
    this.spec = spec;
    this.lastUsedMs = nowMs;
    this.loadSucceeded();
  }

  loadSucceeded(): void {
    this.loadError = undefined;
    this.loadFailures = 0;
    this.notBeforeMs = 0;
  }

  loadFailed(error: NemoError, nowMs: number): void {
    this.loadFailures++;
    this.loadError = error;
    this.notBeforeMs = nowMs + backoffMs(this.loadFailures);
  }

  /** It is not made ahead of calls again before a while has passed: others get their turn. */
  putOff(nowMs: number): void {
    this.madeInVain++;
    this.notBeforeMs = nowMs + backoffMs(this.madeInVain);
  }

  answered(): void {
    this.completed++;
    this.madeInVain = 0;
  }

  push(call: PendingCall): void {
    this.waiting.push(call);
  }

  /** Back to the front: a call that was sent ahead and never started. */
  unshift(call: PendingCall): void {
    this.waiting.unshift(call);
  }

  peek(): PendingCall | undefined {
    return this.waiting.peek();
  }

  shift(): PendingCall | undefined {
    return this.waiting.shift();
  }

  /** Takes one out that waits. */
  drop(call: PendingCall): void {
    this.waiting.drop(call);
  }
}

function backoffMs(times: number): number {
  return Math.min(DISPATCH.loadBackoffMs * 2 ** Math.min(times - 1, 16), DISPATCH.loadBackoffMaxMs);
}

/** The functions, as whoever dispatches their calls knows them. */
export interface Deployed {
  readonly functions: ReadonlyMap<string, FunctionState>;
  /** Grows whenever a function is deployed, changed or removed. */
  readonly version: number;
  /** Gives a stem its code and joins it to a function, ahead of calls. Rejects if the code cannot be loaded. */
  prewarm(fn: FunctionState, instance: Instance): Promise<void>;
}
