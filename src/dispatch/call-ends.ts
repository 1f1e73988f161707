/** How a call ends: what its caller is told, what its function is charged, what becomes of its worker. */

import type { SandboxSlots } from '../control/sandbox-slots.js';
import type { Clock } from '../model/clock.js';
import { NemoError } from '../model/errors.js';
import { settles } from '../policy/scheduling/fair-queue.js';
import type { Pool } from '../pool/pool.js';
import type { FunctionState } from '../pool/state.js';
import { type ActiveCall, type PendingCall, timelineOf, type Worker } from '../pool/state.js';
import { DISPATCH } from '../tunables/index.js';
import type { Backlog } from './backlog.js';
import type { CorePlaces } from './core-places.js';
import type { Due } from './due.js';
import { callerLeft, nextLookMs, overdue } from './left-callers.js';
import type { CallObserver } from './observer.js';
import { blameOf, endsSandbox, neverBegan, waitedInVain } from './outcome.js';
import type { SendOutcome } from './send.js';

export interface CallEndsOptions {
  clock: Clock;
  control: SandboxSlots;
  pool: Pool;
  places: CorePlaces;
  /** Functions whose calls wait. */
  backlog: Backlog;
  /** For what has to be looked at later. */
  due: Due;
  observer: CallObserver | undefined;
  onFailure: (functionName: string, error: NemoError, sandboxId: string | undefined) => void;
  /** False once the function was removed, or replaced by another of its name. */
  isCurrent: (fn: FunctionState) => boolean;
  onChanged: (fn: FunctionState) => void;
}

export class CallEnds implements SendOutcome {
  /** Nothing goes elsewhere any more. */
  stopped = false;

  constructor(private readonly options: CallEndsOptions) {}

  ended(worker: Worker, call: ActiveCall): void {
    const { fn } = call;
    this.leave(worker, call);
    fn.answered();
    fn.starts[call.start]++;
    const nowMs = worker.lastUsedMs;
    fn.latency.current.record((nowMs - call.acceptedMs) * 1e6);
    call.sink.onEnd(timelineOf(call, worker, nowMs));
    this.options.observer?.ended(fn.name, call, worker);
    this.options.onChanged(fn);
  }

  failed(worker: Worker, call: ActiveCall, error: NemoError): void {
    const { clock, pool, onChanged } = this.options;
    const { fn } = call;
    pool.files.nameSources(worker.spec ?? fn.spec, error);
    // Known here before the pool hears of it: nothing more may be given to a sandbox that ended, or takes nothing.
    if (endsSandbox(error)) worker.state = 'ending';
    else if (neverBegan(error)) worker.retired = worker.drains = true;
    const mayGo = waitedInVain(error, call, worker) && this.mayGoElsewhere(call);
    this.leave(worker, call);
    if (!Number.isNaN(call.leftMs)) {
      this.fail(call, callerLeft(), worker);
    } else if (mayGo) {
      call.returns++;
      fn.unshift(call);
      this.waits(call);
    } else {
      this.fail(call, blameOf(error, call, worker, clock.nowMs()), worker);
    }
    onChanged(fn);
  }

  private mayGoElsewhere({ fn, answered, returns }: ActiveCall): boolean {
    return !answered && returns < DISPATCH.returnsMax && !this.stopped && this.options.isCurrent(fn);
  }

  /** The call is in the queue of its function, and not for ever. */
  waits(call: PendingCall): void {
    this.options.due.at(call.acceptedMs + DISPATCH.queueWaitMaxMs);
  }

  fail(call: PendingCall, error: NemoError, worker?: Worker): void {
    const { fn } = call;
    // Nothing of a function failed whose caller has left.
    if (error.code !== 'CALLER_LEFT') {
      fn.failed++;
      this.options.onFailure(fn.name, error, worker?.id);
    }
    call.sink.onError(error, undefined);
    this.options.observer?.ended(fn.name, call, worker, error);
  }

  failQueued(fn: FunctionState, error: NemoError): void {
    for (let call = fn.shift(); call !== undefined; call = fn.shift()) this.fail(call, error);
    this.options.backlog.delete(fn);
  }

  private leave(worker: Worker, call: ActiveCall): void {
    const { clock, control, pool, places, due } = this.options;
    const { fn } = call;
    const nowMs = clock.nowMs();
    const index = worker.calls.indexOf(call);
    if (index >= 0) worker.calls.splice(index, 1);
    call.worker = undefined;
    worker.lastUsedMs = nowMs;
    worker.clockAtUse = pool.clock;
    fn.usage.ended(nowMs);
    settles(fn, call.chargedMs, nowMs - call.runningMs);
    if (!worker.idle) {
      if (worker.state === 'ending') return;
      places.yieldTurn(worker);
      worker.beginCalls(nowMs);
      due.at(nextLookMs(worker));
      return;
    }
    places.leave(worker);
    if (pool.workers.has(worker.id)) control.setBusy(worker.slot, false);
    if (!worker.retired) return;
    // Its own end says why.
    if (worker.drains) clock.after(DISPATCH.drainMs, () => void pool.end(worker));
    else void pool.end(worker);
  }

  /** Ends what ran too long and what waited too long, and has the rest looked at in time. */
  endOverdue(nowMs: number): void {
    const { backlog, places, pool, due } = this.options;
    for (const fn of backlog) {
      for (let call = fn.peek(); call !== undefined; call = fn.peek()) {
        if (nowMs - call.acceptedMs < DISPATCH.queueWaitMaxMs) {
          due.at(call.acceptedMs + DISPATCH.queueWaitMaxMs);
          break;
        }
        fn.shift();
        this.fail(call, new NemoError('OVERLOADED', `no place for "${fn.name}" within a minute`));
      }
      if (fn.queued === 0) backlog.delete(fn);
    }
    // Also workers of functions that were changed or removed since.
    for (const worker of places.busy) {
      if (worker.state === 'ending') continue;
      const error = overdue(worker, nowMs);
      if (error === undefined) due.at(nextLookMs(worker, nowMs));
      else void pool.end(worker, error);
    }
  }
}
