/** What the dispatcher knows of one function: its queue, its workers, its share of service and its figures. */

import type { NemoError } from '../errors.js';
import { RollingLatency } from '../packet/rolling-latency.js';
import type { ServiceShare } from '../policy/scheduling/fair-queue.js';
import type { PrewarmFunction } from '../sandbox/prewarm/next.js';
import { Usage } from '../sandbox/usage.js';
import { DISPATCH } from '../tunables.js';
import type { FunctionSpec, StartKind } from './function.js';
import { type QueuedBytes, WaitingCalls } from './waiting-calls.js';
import type { PendingCall, Worker } from './worker.js';

export class FunctionState implements ServiceShare, PrewarmFunction {
  readonly workers: Worker[] = [];
  /** Workers being made or loaded because calls wait. */
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
  /** The box had nothing for one more sandbox. */
  growNotBeforeMs = 0;
  completed = 0;
  failed = 0;
  readonly starts: Record<StartKind, number> = { cold: 0, stem: 0, warm: 0 };
  readonly latency;
  private readonly waiting: WaitingCalls;

  constructor(
    public spec: FunctionSpec,
    nowMs: number,
    queuedBytes: QueuedBytes,
    latencyParts: number = DISPATCH.latencyParts,
  ) {
    this.lastUsedMs = nowMs;
    this.latency = new RollingLatency(latencyParts);
    this.waiting = new WaitingCalls(queuedBytes);
  }

  get name(): string {
    return this.spec.name;
  }

  get sandboxes(): number {
    let sandboxes = this.starting;
    for (const { retired, state } of this.workers) {
      if (!retired && (state === 'loading' || state === 'warm')) sandboxes++;
    }
    return sandboxes;
  }

  get queued(): number {
    return this.waiting.count;
  }

  /** One of its workers has a call. */
  get busy(): boolean {
    for (const worker of this.workers) if (!worker.idle) return true;
    return false;
  }

  /** Sandboxes are being made for it, and none could take a call yet. */
  get onlyStarts(): boolean {
    return this.starting > 0 && !this.workers.some(({ state }) => state === 'warm');
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
    const waitMs = DISPATCH.loadBackoffMs * 2 ** Math.min(this.loadFailures++, 16);
    this.loadError = error;
    this.notBeforeMs = nowMs + Math.min(waitMs, DISPATCH.loadBackoffMaxMs);
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
