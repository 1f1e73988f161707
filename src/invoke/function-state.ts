/** What the dispatcher knows of one function: its queue, its workers, its share of service and its figures. */

import type { NemoError } from '../errors.js';
import { RollingLatency } from '../packet/rolling-latency.js';
import { Usage } from '../sandbox/usage.js';
import { DISPATCH } from '../tunables.js';
import type { FunctionSpec, StartKind } from './function.js';
import { type QueuedBytes, WaitingCalls } from './waiting-calls.js';
import type { PendingCall, Worker } from './worker.js';

export class FunctionState {
  readonly workers: Worker[] = [];
  /** Workers being made or loaded because calls wait. */
  starting = 0;
  /**
   * Service received, ms, on the common virtual clock of start-time fair queueing (Goyal et al., SIGCOMM '96):
   * the backlogged function with the least goes first, so a quiet function never waits behind a busy one's queue.
   */
  virtualMs = 0;
  /** What policies go by. */
  readonly usage = new Usage();
  /** Mean length of its calls: what one is charged until its true length is known. */
  meanMs: number = DISPATCH.meanFirstMs;
  lastUsedMs: number;
  /** Set while the code of now is known not to load: nobody tries again before `loadNotBeforeMs`. */
  loadError: NemoError | undefined;
  loadNotBeforeMs = 0;
  private loadFailures = 0;
  /** The box had nothing for one more sandbox. */
  growNotBeforeMs = 0;
  completed = 0;
  failed = 0;
  readonly starts: Record<StartKind, number> = { cold: 0, stem: 0, warm: 0 };
  readonly latency = new RollingLatency(DISPATCH.latencyParts);
  private readonly waiting: WaitingCalls;

  constructor(
    public spec: FunctionSpec,
    nowMs: number,
    queuedBytes: QueuedBytes,
  ) {
    this.lastUsedMs = nowMs;
    this.waiting = new WaitingCalls(queuedBytes);
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
    this.loadNotBeforeMs = 0;
  }

  loadFailed(error: NemoError): void {
    const waitMs = DISPATCH.loadBackoffMs * 2 ** Math.min(this.loadFailures++, 16);
    this.loadError = error;
    this.loadNotBeforeMs = performance.now() + Math.min(waitMs, DISPATCH.loadBackoffMaxMs);
  }

  /** A call goes to a sandbox. Returns what was charged, for `settle`. */
  charge(): number {
    this.virtualMs += this.meanMs;
    return this.meanMs;
  }

  /** A call ended after `tookMs` of service; NaN: it got none. */
  settle(chargedMs: number, tookMs: number): void {
    this.virtualMs -= chargedMs;
    if (Number.isNaN(tookMs)) return;
    this.virtualMs += tookMs;
    this.meanMs += DISPATCH.meanWeight * (tookMs - this.meanMs);
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
