/** What dispatcher, pool and planner keep of a function: its queue, its instances, its share of service and its figures. */

import type { StartKind } from '../model/call.js';
import type { NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import { RollingLatency } from '../packet/rolling-latency.js';
import type { PrewarmFunction } from '../policy/prewarm/next.js';
import type { ServiceShare } from '../policy/scheduling/fair-queue.js';
import { UsageHistory } from '../policy/usage/usage.js';
import { DISPATCH } from '../tunables/index.js';
import type { PendingCall } from './calls.js';
import type { Instance } from './instance.js';
import { type QueuedBytes, WaitingCalls } from './waiting-calls.js';

/** The functions, as whoever dispatches their calls knows them. */
export interface Deployed {
  readonly functions: ReadonlyMap<string, FunctionState>;
  /** Grows whenever a function is deployed, changed or removed. */
  readonly version: number;
  /** Gives a stem its code and joins it to a function, ahead of calls. Rejects if the code cannot be loaded. */
  prewarm(fn: FunctionState, instance: Instance): Promise<void>;
}

export class FunctionState implements ServiceShare, PrewarmFunction {
  /** `FunctionRef.key`, the same for all its versions. */
  readonly key: string;
  readonly instances: Instance[] = [];
  /** Instances being made or loaded because calls wait. */
  starting = 0;
  virtualMs = 0;
  /** What policies go by. */
  readonly usage = new UsageHistory();
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

export function backoffMs(times: number): number {
  return Math.min(DISPATCH.loadBackoffMs * 2 ** Math.min(times - 1, 16), DISPATCH.loadBackoffMaxMs);
}
