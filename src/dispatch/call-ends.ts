/** How a call ends: what its caller is told, what its function is charged, what becomes of its instance. */

import type { SandboxSlots } from '../control/sandbox-slots.js';
import type { Clock } from '../model/clock.js';
import { NemoError } from '../model/errors.js';
import { settles } from '../policy/scheduling/fair-queue.js';
import { type ActiveCall, type PendingCall, timelineOf } from '../pool/calls.js';
import type { FunctionState } from '../pool/function-state.js';
import type { Instance } from '../pool/instance.js';
import type { Pool } from '../pool/pool.js';
import { DISPATCH } from '../tunables/index.js';
import type { Backlog } from './backlog.js';
import type { CorePlaces } from './core-places.js';
import type { Due } from './due.js';
import { callerLeft, isGivenUp, nextCheckMs, overdue } from './left-callers.js';
import type { CallObservers } from './observer.js';
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
  observers: CallObservers;
  /** False once the function was removed, or replaced by another of its name. */
  isCurrent: (fn: FunctionState) => boolean;
  onChanged: (fn: FunctionState) => void;
}

export class CallEnds implements SendOutcome {
  /** Nothing goes elsewhere any more. */
  stopped = false;

  constructor(private readonly options: CallEndsOptions) {}

  ended(fn: FunctionState, instance: Instance, call: ActiveCall): void {
    this.leave(fn, instance, call);
    fn.answered();
    fn.starts[call.start]++;
    const { clock, observers, onChanged } = this.options;
    if (call.expiry !== undefined) clock.cancel(call.expiry);
    call.endedMs = instance.lastUsedMs;
    fn.latency.current.record((call.endedMs - call.acceptedMs) * 1e6);
    call.sink.onEnd(timelineOf(call, instance));
    observers.ended(fn.key, call, instance, call.sink.failure);
    onChanged(fn);
  }

  failed(fn: FunctionState, instance: Instance, call: ActiveCall, error: NemoError): void {
    const { clock, pool, onChanged } = this.options;
    pool.files.nameSources(instance.spec ?? fn.spec, error);
    // Known here before the pool hears of it: nothing more may be given to a sandbox that ended, or takes nothing.
    if (endsSandbox(error)) instance.state = 'ending';
    else if (neverBegan(error)) instance.retired = instance.drains = true;
    const mayGo = waitedInVain(error, call, instance) && this.mayGoElsewhere(fn, call);
    this.leave(fn, instance, call);
    if (!Number.isNaN(call.leftMs)) {
      this.fail(fn, call, call.sink.failure ?? callerLeft(), instance);
    } else if (mayGo) {
      call.returns++;
      fn.unshift(call);
      this.waits(call);
    } else {
      this.fail(fn, call, blameOf(error, call, instance, clock.nowMs()), instance);
    }
    onChanged(fn);
  }

  private mayGoElsewhere(fn: FunctionState, { answered, returns }: ActiveCall): boolean {
    return !answered && returns < DISPATCH.returnsMax && !this.stopped && this.options.isCurrent(fn);
  }

  /** The call is in the queue of its function, and not for ever. */
  waits(call: PendingCall): void {
    this.options.due.at(call.acceptedMs + DISPATCH.queueWaitMaxMs);
  }

  fail(fn: FunctionState, call: PendingCall, error: NemoError, instance?: Instance): void {
    const { clock, observers } = this.options;
    if (call.expiry !== undefined) clock.cancel(call.expiry);
    if (!isGivenUp(error)) fn.failed++;
    call.sink.onError(error, undefined);
    observers.ended(fn.key, call, instance, error);
  }

  failQueued(fn: FunctionState, error: NemoError): void {
    for (let call = fn.shift(); call !== undefined; call = fn.shift()) this.fail(fn, call, error);
    this.options.backlog.delete(fn);
  }

  private leave(fn: FunctionState, instance: Instance, call: ActiveCall): void {
    const { clock, control, pool, places, due } = this.options;
    const nowMs = clock.nowMs();
    const index = instance.calls.indexOf(call);
    if (index >= 0) instance.calls.splice(index, 1);
    call.sandbox = undefined;
    instance.lastUsedMs = nowMs;
    instance.clockAtUse = pool.clock;
    fn.usage.ended(nowMs);
    settles(fn, call.chargedMs, nowMs - call.runningMs);
    if (!instance.idle) {
      if (instance.state === 'ending') return;
      places.yieldRunSlot(instance);
      instance.beginCalls(nowMs);
      due.at(nextCheckMs(instance));
      return;
    }
    places.leave(instance);
    if (pool.instances.has(instance.id)) control.setBusy(instance.slot, false);
    if (!instance.retired) return;
    // Its own end says why.
    if (instance.drains) clock.after(DISPATCH.drainMs, () => void pool.end(instance));
    else void pool.end(instance);
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
        this.fail(fn, call, new NemoError('OVERLOADED', `no place for "${fn.key}" within a minute`));
      }
      if (fn.queued === 0) backlog.delete(fn);
    }
    // Also instances of functions that were changed or removed since.
    for (const instance of places.busy) {
      if (instance.state === 'ending') continue;
      const error = overdue(instance, nowMs);
      if (error === undefined) due.at(nextCheckMs(instance, nowMs));
      else void pool.end(instance, error);
    }
  }
}
