/**
 * The dispatcher: takes calls, queues them by function, and gives each to a worker on the core with the most
 * spare time. Everything happens in `pump`, which runs whenever something changed; it never awaits.
 *
 *   invoke -> FunctionState.queue -> place -> Worker.calls -> Sandbox -> Sink
 *
 * Invariant: a call is in exactly one queue or one worker until its sink heard onEnd or onError, once.
 */

import { BlameBook } from '../conflict/blame-book.js';
import type { SandboxSlots } from '../control/sandbox-slots.js';
import { NemoError } from '../errors.js';
import type { PlacementPolicy } from '../harvest/placement.js';
import type { BoxPolicy } from '../harvest/policies.js';
import { guardAdmission } from '../sandbox/admission/guard.js';
import type { AdmissionPolicy } from '../sandbox/admission/policy.js';
import type { Pool } from '../sandbox/pool.js';
import { mru } from '../sandbox/selection/mru.js';
import type { SelectionPolicy } from '../sandbox/selection/policy.js';
import { DISPATCH, GATEWAY, HARVEST } from '../tunables.js';
import { Backlog } from './backlog.js';
import { CorePlaces } from './core-places.js';
import type { CallRequest, FunctionSpec, Sink } from './function.js';
import { FunctionState } from './function-state.js';
import { Growth } from './growth.js';
import { callerLeft, overdue, tellLeft } from './left-callers.js';
import type { CallObserver } from './observer.js';
import { blameOf, endsSandbox, neverBegan, waitedInVain } from './outcome.js';
import { refusalOf, unknownFunction } from './refusal.js';
import { sendTo } from './send.js';
import { type ActiveCall, acceptedCall, type PendingCall, timelineOf, type Worker } from './worker.js';
import { WorkerChoice } from './worker-choice.js';

export interface DispatcherOptions {
  control: SandboxSlots;
  pool: Pool;
  policy: BoxPolicy;
  functionCores: readonly number[];
  /** Takes functions while no function core has any budget. */
  fallbackCore: number;
  placement?: PlacementPolicy;
  selection?: SelectionPolicy;
  admission?: AdmissionPolicy;
  /** A call failed, or the code could not be loaded ahead of calls; for the event log. */
  onFailure: (functionName: string, error: NemoError, sandboxId: string | undefined) => void;
  observer?: CallObserver;
}

/** How an attempt to move a function's first call forward went. */
type Placed = 'sent' | 'starting' | 'keeps away' | 'no place';

export class Dispatcher {
  readonly functions = new Map<string, FunctionState>();
  readonly blames = new BlameBook();
  private readonly places: CorePlaces;
  private readonly growth: Growth;
  private readonly workers: WorkerChoice;
  private readonly admission: AdmissionPolicy;
  private readonly backlog = new Backlog();
  /** Bodies of all calls that wait. */
  private readonly queuedBytes = { bytes: 0 };
  private virtualNowMs = 0;
  private pumping = false;
  private again = false;
  private quantumTimer: NodeJS.Timeout | undefined;
  private stopping = false;
  private stopped = false;

  constructor(private readonly options: DispatcherOptions) {
    const { control, pool, policy, functionCores, fallbackCore, placement } = options;
    this.places = new CorePlaces({
      board: control.board,
      functionCores,
      fallbackCore,
      runningPerCore: policy.runningPerCore,
      setWeight: (worker, weight) => pool.setWeight(worker, weight),
      ...(placement === undefined ? {} : { placement }),
    });
    this.workers = new WorkerChoice(this.places, options.selection ?? mru.create({}));
    this.admission = options.admission ?? guardAdmission(GATEWAY);
    this.growth = new Growth({
      pool,
      isCurrent: (fn) => this.isCurrent(fn),
      onFailed: (fn, error) => this.failQueued(fn, error),
      onChanged: (fn) => {
        if (fn.queued > 0) this.backlog.add(fn);
        this.pump();
      },
    });
  }

  /** Accepts a call. Every outcome goes to the sink. */
  invoke(request: CallRequest, sink: Sink): void {
    const fn = this.functions.get(request.functionName);
    const refusal = this.refusal(fn, request);
    if (fn === undefined || refusal !== undefined) {
      sink.onError(refusal!, undefined);
      return;
    }
    const nowMs = performance.now();
    const idle = fn.queued === 0 && !fn.busy;
    fn.usage.arrived(nowMs, idle);
    if (idle) {
      // Coming back from idleness: no credit for the time in which it asked for nothing.
      fn.virtualMs = Math.max(fn.virtualMs, this.virtualNowMs);
    }
    fn.lastUsedMs = nowMs;
    const call = acceptedCall(request, sink, nowMs);
    sink.whenLeft?.(() => this.left(fn, call));
    fn.push(call);
    this.backlog.add(fn);
    this.pump();
  }

  private left(fn: FunctionState, call: PendingCall): void {
    if (!call.waits) {
      tellLeft(call, performance.now());
      return;
    }
    fn.drop(call);
    if (fn.queued === 0) this.backlog.delete(fn);
    this.fail(fn, call, callerLeft());
  }

  private refusal(fn: FunctionState | undefined, { functionName, body }: CallRequest): NemoError | undefined {
    if (fn === undefined) return unknownFunction(functionName);
    if (this.stopping) return new NemoError('STOPPING', 'the agent is stopping');
    return refusalOf(fn, body.length, this.queuedBytes.bytes, this.admission, this.options.pool);
  }

  setFunction(name: string, spec: FunctionSpec | undefined): void {
    const fn = this.functions.get(name);
    if (fn === undefined) {
      if (spec !== undefined)
        this.functions.set(name, new FunctionState(spec, performance.now(), this.queuedBytes));
      return;
    }
    if (spec === undefined) {
      this.functions.delete(name);
      this.blames.forget(name);
      this.failQueued(fn, new NemoError('NOT_FOUND', `function "${name}" was removed`));
    } else {
      fn.replace(spec, performance.now());
    }
    for (const worker of fn.workers) {
      worker.retired = true;
      if (worker.idle && worker.state === 'warm') void this.options.pool.end(worker);
    }
    this.pump();
  }

  private isCurrent(fn: FunctionState): boolean {
    return this.functions.get(fn.spec.name) === fn;
  }

  /** Gives a stem its code and joins it to a function, ahead of calls. Rejects if the code cannot be loaded. */
  async prewarm(fn: FunctionState, worker: Worker): Promise<void> {
    const known = fn.loadError !== undefined;
    try {
      await this.growth.loadInto(fn, worker, 'warm');
    } catch (thrown) {
      // Said once, although nobody has called yet; it will be tried again and again.
      if (!known && fn.loadError !== undefined) this.options.onFailure(fn.spec.name, fn.loadError, worker.id);
      throw thrown;
    }
  }

  /** Gives waiting calls to workers until nothing more fits. */
  pump(): void {
    if (this.pumping) {
      this.again = true;
      return;
    }
    this.pumping = true;
    try {
      do {
        this.again = false;
        this.places.refresh(performance.now());
        this.placeAll();
      } while (this.again);
    } finally {
      this.pumping = false;
    }
    if (this.backlog.size > 0 && this.quantumTimer === undefined && !this.stopped) {
      // Long calls lose their claim on the core with time; look again then.
      this.quantumTimer = setTimeout(() => {
        this.quantumTimer = undefined;
        this.pump();
      }, HARVEST.quantumMs);
    }
  }

  /**
   * The function that received least goes first. One that waits for a place keeps those behind it from taking more
   * than they have; one whose sandbox is only being made, or that keeps away from a core itself, does not.
   */
  private placeAll(): void {
    let passed: Set<FunctionState> | undefined;
    for (;;) {
      const next = this.backlog.next(passed);
      if (next === undefined) return;
      const placed = this.place(next);
      if (placed === 'no place') return;
      if (placed === 'starting' && next.onlyStarts) this.backlog.setApart(next);
      else if (placed === 'starting' || placed === 'keeps away') {
        passed ??= new Set();
        passed.add(next);
      }
      if (next.queued === 0) {
        this.backlog.delete(next);
        passed?.delete(next);
      }
    }
  }

  /** Tries to move one call of `fn` forward. */
  private place(fn: FunctionState): Placed {
    const shared = this.workers.shared(fn);
    if (shared !== undefined) return this.send(fn, shared);
    const blame = this.blames.of(fn.spec.name, performance.now());
    const none: Placed = blame.away.size > 0 ? 'keeps away' : 'no place';
    const core = this.places.choose(blame);
    if (core !== undefined) {
      const worker = this.moveIdle(fn, core);
      if (worker !== undefined) return this.send(fn, worker);
      if (fn.starting < Math.min(fn.queued, this.placesFor(fn))) this.growth.start(fn, core);
      return 'starting';
    }
    // Ahead of time: into the sandbox that runs, or into another one beside it. Its turn comes when a call ends.
    const { sendAhead } = this.options.policy;
    const ahead = this.workers.ahead(fn, sendAhead);
    if (ahead !== undefined) return this.send(fn, ahead);
    const beside = this.places.chooseStaged(sendAhead, blame);
    // Not beside itself: the sandbox that runs has its caches warm, and takes its next call ahead.
    const itself = fn.workers.some((worker) => worker.turn && worker.core === beside);
    if (beside === undefined || itself) return none;
    const staged = this.moveIdle(fn, beside);
    return staged === undefined ? none : this.send(fn, staged, false);
  }

  /** An idle worker of `fn`, moved to the core. One that cannot be moved is ending: the next is tried. */
  private moveIdle(fn: FunctionState, core: number): Worker | undefined {
    for (;;) {
      const worker = this.workers.idle(fn, core);
      if (worker === undefined || this.options.pool.move(worker, core)) return worker;
    }
  }

  /** More sandboxes of one function than may run at once would only cost memory. */
  private placesFor(fn: FunctionState): number {
    if (!this.places.counted) return Number.POSITIVE_INFINITY;
    let live = 0;
    for (const worker of fn.workers) if (worker.state === 'warm') live++;
    return Math.max(1, this.places.total() - live);
  }

  private send(fn: FunctionState, worker: Worker, turn = true): Placed {
    const pending = fn.shift()!;
    if (fn.queued === 0) this.backlog.delete(fn);
    if (pending.sink.gone) {
      // Nobody waits for it any more: its turn goes to the next.
      this.fail(fn, pending, callerLeft());
      return 'sent';
    }
    this.virtualNowMs = Math.max(this.virtualNowMs, fn.virtualMs);
    if (worker.idle) {
      this.options.control.setBusy(worker.slot, true);
      this.places.enter(worker, turn);
      this.options.observer?.starting(fn.spec.name, worker, performance.now());
    }
    sendTo(worker, pending, fn.charge(), {
      ended: (call) => this.ended(fn, worker, call),
      failed: (call, error) => this.failedCall(fn, worker, call, error),
    });
    return 'sent';
  }

  private ended(fn: FunctionState, worker: Worker, call: ActiveCall): void {
    this.leave(fn, worker, call);
    fn.completed++;
    fn.starts[call.start]++;
    const nowMs = worker.lastUsedMs;
    fn.latency.current.record((nowMs - call.acceptedMs) * 1e6);
    call.sink.onEnd(timelineOf(call, worker, nowMs));
    this.options.observer?.ended(fn.spec.name, call, worker);
    this.pump();
  }

  private failedCall(fn: FunctionState, worker: Worker, call: ActiveCall, error: NemoError): void {
    this.options.pool.nameSources(worker.spec ?? fn.spec, error);
    // Known here before the pool hears of it: nothing more may be given to a sandbox that ended, or takes nothing.
    if (endsSandbox(error)) worker.state = 'ending';
    else if (neverBegan(error)) worker.retired = worker.drains = true;
    const mayGo = waitedInVain(error, call, worker) && this.mayGoElsewhere(fn, call);
    this.leave(fn, worker, call);
    if (!Number.isNaN(call.leftMs)) {
      this.fail(fn, call, callerLeft(), worker);
    } else if (mayGo) {
      call.returns++;
      fn.unshift(call);
      this.backlog.add(fn);
    } else {
      this.fail(fn, call, blameOf(error, call, worker), worker);
    }
    this.pump();
  }

  private mayGoElsewhere(fn: FunctionState, call: ActiveCall): boolean {
    return !call.answered && call.returns < DISPATCH.returnsMax && !this.stopped && this.isCurrent(fn);
  }

  private fail(fn: FunctionState, call: PendingCall, error: NemoError, worker?: Worker): void {
    // Nothing of a function failed whose caller has left.
    if (error.code !== 'CALLER_LEFT') {
      fn.failed++;
      this.options.onFailure(fn.spec.name, error, worker?.id);
    }
    call.sink.onError(error, undefined);
    this.options.observer?.ended(fn.spec.name, call, worker, error);
  }

  private leave(fn: FunctionState, worker: Worker, call: ActiveCall): void {
    const nowMs = performance.now();
    const index = worker.calls.indexOf(call);
    if (index >= 0) worker.calls.splice(index, 1);
    call.worker = undefined;
    worker.lastUsedMs = nowMs;
    worker.clockAtUse = this.options.pool.clock;
    fn.usage.ended(nowMs);
    fn.settle(call.chargedMs, nowMs - call.runningMs);
    if (!worker.idle) {
      if (worker.state === 'ending') return;
      this.places.yieldTurn(worker);
      if (worker.turn) worker.startTurns(nowMs);
      return;
    }
    this.places.leave(worker);
    if (this.options.pool.workers.has(worker.id)) this.options.control.setBusy(worker.slot, false);
    if (!worker.retired) return;
    // Its own end says why.
    if (worker.drains) setTimeout(() => void this.options.pool.end(worker), DISPATCH.drainMs).unref();
    else void this.options.pool.end(worker);
  }

  private failQueued(fn: FunctionState, error: NemoError): void {
    for (let call = fn.shift(); call !== undefined; call = fn.shift()) this.fail(fn, call, error);
    this.backlog.delete(fn);
  }

  /** Told by the pool when a sandbox is gone. */
  sandboxEnded(worker: Worker): void {
    const fn = this.functions.get(worker.functionName);
    const index = fn?.workers.indexOf(worker) ?? -1;
    if (index >= 0) fn!.workers.splice(index, 1);
    if (fn?.workers.length === 0) fn.usage.gone();
    this.pump();
  }

  /** A core's throttle level changed. At `off` its sandboxes go where they hurt nobody. */
  coreChanged(core: number, offCore: boolean): void {
    if (offCore) {
      for (const worker of [...this.options.pool.workers.values()]) {
        if (worker.core === core) this.options.pool.move(worker, this.options.fallbackCore);
      }
    }
    this.pump();
  }

  /** Ends what ran too long and what waited too long. Called every DISPATCH.sweepMs. */
  sweep(nowMs: number): void {
    for (const fn of this.functions.values()) {
      for (let call = fn.peek(); call !== undefined; call = fn.peek()) {
        if (nowMs - call.acceptedMs < DISPATCH.queueWaitMaxMs) break;
        fn.shift();
        this.fail(fn, call, new NemoError('OVERLOADED', `no place for "${fn.spec.name}" within a minute`));
      }
      if (fn.queued === 0) this.backlog.delete(fn);
    }
    // Also workers of functions that were changed or removed since.
    for (const worker of this.places.busy) {
      const error = worker.state === 'ending' ? undefined : overdue(worker, nowMs);
      if (error !== undefined) void this.options.pool.end(worker, error);
    }
  }

  /** No call is accepted from now on; resolves when the accepted ones are answered or `graceMs` passed. */
  async drain(graceMs: number): Promise<void> {
    this.stopping = true;
    this.growth.stopping = true;
    const until = performance.now() + graceMs;
    const pending = (): boolean => this.backlog.size > 0 || this.places.busy.size > 0;
    while (pending() && performance.now() < until) await new Promise((done) => setTimeout(done, 10));
    this.stopped = true;
    for (const fn of this.functions.values()) {
      this.failQueued(fn, new NemoError('STOPPING', 'the agent stopped before the call could run'));
    }
    clearTimeout(this.quantumTimer);
  }
}
