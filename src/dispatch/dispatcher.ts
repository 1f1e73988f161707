/**
 * The dispatcher: takes calls, queues them by function, and gives each to an instance on the core with the most
 * spare time. Whatever changed, `pump` looks what comes of it.
 *
 *   invoke -> FunctionState.queue -> place -> Instance.calls -> Sandbox -> ReplySink
 *
 * Invariant: a call is in exactly one queue or one instance until its sink heard onEnd or onError, once.
 */

import type { SandboxSlots } from '../control/sandbox-slots.js';
import type { Call, CallHead } from '../model/call.js';
import { type Clock, realClock } from '../model/clock.js';
import { NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import type { ReplySink } from '../model/reply-sink.js';
import { guardAdmission } from '../policy/admission/guard.js';
import type { AdmissionPolicy } from '../policy/admission/policy.js';
import { OffenderHistory } from '../policy/conflict/offender-history.js';
import type { BoxPolicy } from '../policy/harvest/policies.js';
import type { PlacementPolicy } from '../policy/placement/placement.js';
import { charges, joins } from '../policy/scheduling/fair-queue.js';
import { mru } from '../policy/selection/mru.js';
import type { SelectionPolicy } from '../policy/selection/policy.js';
import { type ActiveCall, acceptedCall, type PendingCall } from '../pool/calls.js';
import { FunctionState } from '../pool/function-state.js';
import type { Instance } from '../pool/instance.js';
import type { Pool } from '../pool/pool.js';
import { DISPATCH, GATEWAY } from '../tunables/index.js';
import type { Backlog } from './backlog.js';
import { CallEnds } from './call-ends.js';
import { CorePlaces } from './core-places.js';
import { Due } from './due.js';
import { InstanceChoice } from './instance-choice.js';
import { callerLeft, deadlineExceeded, GivenUp, nextCheckMs, signalLeft } from './left-callers.js';
import { type CallObserver, CallObservers } from './observer.js';
import type { Overflow } from './overflow.js';
import { Placing } from './placing.js';
import { Pump } from './pump.js';
import { Refusals } from './refusal.js';
import { ScaleUp } from './scale-up.js';
import { sendTo } from './send.js';

export interface DispatcherOptions {
  /** Default: the real one. */
  clock?: Clock;
  control: SandboxSlots;
  pool: Pool;
  policy: BoxPolicy;
  functionCores: readonly number[];
  /** Takes functions while no function core has any budget. */
  fallbackCore: number;
  placement?: PlacementPolicy;
  selection?: SelectionPolicy;
  admission?: AdmissionPolicy;
  /** Default: what is not accepted is refused. */
  overflow?: Overflow;
  observers?: readonly CallObserver[];
  /** Something happened to a function, or to stems, by which what should be made or ended may change. */
  onChanged?: (fn: FunctionState | undefined) => void;
  /** Parts of the window in which latencies of functions are kept. Default: DISPATCH.latencyParts. */
  latencyParts?: number;
}

export class Dispatcher {
  /** By `FunctionRef.key`. */
  readonly functions = new Map<string, FunctionState>();
  /** Grows whenever a function is deployed, changed or removed. */
  version = 0;
  readonly blames = new OffenderHistory();
  private readonly places: CorePlaces;
  private readonly clock: Clock;
  private readonly growth: ScaleUp;
  private readonly placing: Placing;
  private readonly backlog: Backlog;
  private readonly due: Due;
  private readonly ends: CallEnds;
  private readonly observers: CallObservers;
  private readonly refuses: Refusals;
  /** Bodies of all calls that wait. */
  private readonly queuedBytes = { bytes: 0 };
  private readonly service = { virtualMs: 0 };
  private readonly pumping: Pump;

  constructor(private readonly options: DispatcherOptions) {
    const { clock = realClock, control, pool, policy, functionCores, fallbackCore, placement } = options;
    this.clock = clock;
    this.observers = new CallObservers(options.observers ?? []);
    this.places = new CorePlaces({
      board: control.board,
      functionCores,
      fallbackCore,
      runningPerCore: policy.runningPerCore,
      setWeight: (instance, weight) => pool.setWeight(instance, weight),
      onRunning: (instance) => this.due.at(nextCheckMs(instance)),
      ...(placement === undefined ? {} : { placement }),
    });
    this.growth = new ScaleUp({
      pool,
      clock,
      isCurrent: (fn) => this.isCurrent(fn),
      onFailed: (fn, error) => this.ends.failQueued(fn, error),
      onChanged: (fn) => this.functionChanged(fn),
    });
    this.placing = new Placing({
      places: this.places,
      instances: new InstanceChoice(this.places, options.selection ?? mru.create({})),
      blames: this.blames,
      pipelineDepth: policy.pipelineDepth,
      move: (instance, core) => pool.move(instance, core),
      send: (fn, instance, turn) => this.send(fn, instance, turn),
      grow: (fn, core) => this.growth.start(fn, core),
    });
    this.backlog = this.placing.backlog;
    this.pumping = new Pump(this.places, this.placing, clock);
    this.due = new Due(clock, (nowMs) => this.sweep(nowMs));
    this.ends = new CallEnds({
      ...{ clock, control, pool, places: this.places, backlog: this.backlog, due: this.due },
      observers: this.observers,
      isCurrent: (fn) => this.isCurrent(fn),
      onChanged: (fn) => this.functionChanged(fn),
    });
    this.refuses = new Refusals(options.admission ?? guardAdmission(GATEWAY), pool, this.queuedBytes);
  }

  /** Accepts a call. Every outcome goes to the sink. */
  invoke(request: Call, sink: ReplySink): void {
    const { deadlineMs } = request;
    const nowMs = this.clock.nowMs();
    const fn = this.functions.get(request.ref.key);
    const refusal = this.refuses.of(fn, request, nowMs);
    if (fn === undefined || refusal !== undefined) {
      if (this.options.overflow?.take(request, sink, refusal!)) return;
      sink.onError(refusal!, undefined);
      this.observers.refused(request.ref.key, request, refusal!);
      return;
    }
    const idle = fn.queued === 0 && !fn.busy;
    fn.usage.arrived(nowMs, idle);
    if (idle) joins(fn, this.service);
    fn.lastUsedMs = nowMs;
    const call = acceptedCall(request, sink, nowMs);
    sink.whenLeft?.(() => this.left(fn, call, callerLeft()));
    if (deadlineMs !== Number.POSITIVE_INFINITY) {
      call.expiry = this.clock.after(deadlineMs - nowMs, () => this.expired(fn, call));
    }
    fn.push(call);
    this.functionChanged(fn);
    if (call.waits) this.ends.waits(call);
  }

  private functionChanged(fn: FunctionState): void {
    if (fn.queued > 0) this.backlog.add(fn);
    this.pump(fn);
    this.options.onChanged?.(fn);
  }

  /** Answered at once, whatever its sandbox does. */
  private expired(fn: FunctionState, call: PendingCall): void {
    const { sink } = call;
    const error = deadlineExceeded(fn.key);
    if (!call.waits) {
      call.sink = new GivenUp(error, sink);
      sink.onError(error, undefined, true);
    }
    this.left(fn, call, error);
  }

  private left(fn: FunctionState, call: PendingCall, why: NemoError): void {
    if (!call.waits) {
      const nowMs = this.clock.nowMs();
      signalLeft(call, nowMs);
      this.due.at(nowMs + DISPATCH.leftGraceMs);
      return;
    }
    fn.drop(call);
    if (fn.queued === 0) this.backlog.delete(fn);
    this.ends.fail(fn, call, why);
  }

  /** A call that its source does not even hand over. */
  refused(functionKey: string, call: CallHead, error: NemoError): void {
    this.observers.refused(functionKey, call, error);
  }

  setFunction(name: string, spec: FunctionSpec | undefined): void {
    const fn = this.functions.get(name);
    this.version++;
    if (fn === undefined) {
      if (spec === undefined) return;
      const added = new FunctionState(spec, this.clock.nowMs(), this.queuedBytes, this.options.latencyParts);
      this.functions.set(name, added);
      this.options.onChanged?.(added);
      return;
    }
    if (spec === undefined) {
      this.functions.delete(name);
      this.blames.forget(name);
      this.ends.failQueued(fn, new NemoError('NOT_FOUND', `function "${name}" was removed`));
    } else {
      fn.replace(spec, this.clock.nowMs());
    }
    for (const instance of fn.instances) {
      instance.retired = true;
      if (instance.idle && instance.state === 'warm') void this.options.pool.end(instance);
    }
    this.functionChanged(fn);
  }

  private isCurrent(fn: FunctionState): boolean {
    return this.functions.get(fn.key) === fn;
  }

  /** Gives a stem its code and joins it to a function, ahead of calls. Rejects if the code cannot be loaded. */
  async prewarm(fn: FunctionState, instance: Instance): Promise<void> {
    const known = fn.loadError !== undefined;
    try {
      await this.growth.loadInto(fn, instance, 'warm');
    } catch (thrown) {
      // Said once, although nobody has called yet; it will be tried again and again.
      if (!known && fn.loadError !== undefined) this.observers.loadFailed(fn.key, fn.loadError, instance.id);
      throw thrown;
    }
  }

  /** Gives waiting calls to instances until nothing more fits. `only`: nothing of other functions has changed. */
  pump(only?: FunctionState): void {
    this.pumping.run(only);
  }

  private send(fn: FunctionState, instance: Instance, turn: boolean): 'sent' {
    const pending = fn.shift()!;
    if (fn.queued === 0) this.backlog.delete(fn);
    if (pending.sink.gone) {
      // Nobody waits for it any more: its turn goes to the next.
      this.ends.fail(fn, pending, callerLeft());
      return 'sent';
    }
    if (instance.idle) {
      this.options.control.setBusy(instance.slot, true);
      this.places.enter(instance, turn);
      this.observers.starting(fn.key, instance, this.clock.nowMs());
    }
    sendTo(fn, instance, pending, charges(fn, this.service), this.ends, this.clock);
    this.due.at((pending as ActiveCall).deadlineMs);
    return 'sent';
  }

  /** Told by the pool when a sandbox is gone. */
  sandboxEnded(instance: Instance): void {
    const fn = this.functions.get(instance.functionKey);
    const index = fn?.instances.indexOf(instance) ?? -1;
    if (index >= 0) fn!.instances.splice(index, 1);
    if (fn?.instances.length === 0) fn.usage.gone();
    if (instance.endedItself && instance.served === 0) fn?.putOff(this.clock.nowMs());
    this.pump(fn);
    this.options.onChanged?.(fn);
  }

  /** A core's throttle level changed. At `off` its sandboxes go where they hurt nobody. */
  coreChanged(core: number, offCore: boolean): void {
    if (offCore) {
      for (const instance of [...this.options.pool.instances.values()]) {
        if (instance.core === core) this.options.pool.move(instance, this.options.fallbackCore);
      }
    }
    this.pump();
  }

  /** Ends what ran too long and what waited too long. It is called when the first of that is due. */
  sweep(nowMs: number): void {
    this.ends.endOverdue(nowMs);
  }

  /** No call is accepted from now on; resolves when the accepted ones are answered or `graceMs` passed. */
  async drain(graceMs: number): Promise<void> {
    this.refuses.stopping = true;
    this.growth.stopping = true;
    const untilMs = this.clock.nowMs() + graceMs;
    const pending = (): boolean => this.backlog.size > 0 || this.places.busy.size > 0;
    while (pending() && this.clock.nowMs() < untilMs) {
      await new Promise<void>((done) => this.clock.after(DISPATCH.drainLookMs, done));
    }
    this.pumping.stop();
    this.ends.stopped = true;
    for (const fn of this.functions.values()) {
      this.ends.failQueued(fn, new NemoError('STOPPING', 'the agent stopped before the call could run'));
    }
    this.due.stop();
  }
}
