/**
 * The dispatcher: takes calls, queues them by function, and gives each to a worker on the core with the most
 * spare time. Everything happens in `pump`, which runs whenever something changed; it never awaits.
 *
 *   invoke -> FunctionState.queue -> place -> Worker.calls -> Sandbox -> Sink
 *
 * Invariant: a call is in exactly one queue or one worker until its sink heard onEnd or onError, once.
 */

import { OFF } from '../conflict/ladder.js';
import { type Board, Core } from '../control/board.js';
import type { Control } from '../control/control.js';
import { asNemoError, NemoError } from '../errors.js';
import { mostSpare, type PlacementCore, type PlacementPolicy } from '../harvest/placement.js';
import type { BoxPolicy } from '../harvest/policies.js';
import type { SandboxExit } from '../sandbox/engine.js';
import type { Pool } from '../sandbox/pool.js';
import { DISPATCH, GATEWAY, HARVEST } from '../tunables.js';
import type { CallRequest, CallTimeline, FunctionSpec, Sink } from './function.js';
import { FunctionState } from './function-state.js';
import { sendTo } from './send.js';
import type { ActiveCall, PendingCall, Worker } from './worker.js';

export interface DispatcherOptions {
  control: Control;
  pool: Pool;
  policy: BoxPolicy;
  functionCores: readonly number[];
  /** Takes functions while no function core has any budget. */
  fallbackCore: number;
  placement?: PlacementPolicy;
  /** A call failed; for the event log. */
  onFailure: (functionName: string, error: NemoError, sandboxId: string | undefined) => void;
}

export class Dispatcher {
  readonly functions = new Map<string, FunctionState>();
  private readonly cores: PlacementCore[];
  private readonly fallback: PlacementCore;
  private readonly fallbackOnly: PlacementCore[];
  private readonly backlog = new Set<FunctionState>();
  private readonly board: Board;
  private readonly placement: PlacementPolicy;
  private virtualNowMs = 0;
  private pumping = false;
  private again = false;
  private quantumTimer: NodeJS.Timeout | undefined;
  private stopping = false;

  constructor(private readonly options: DispatcherOptions) {
    this.board = options.control.board;
    this.placement = options.placement ?? mostSpare;
    const place = (core: number): PlacementCore => ({
      core,
      running: 0,
      budgetRunning: options.policy.runningPerCore,
      predictedSpareRatio: 1,
      throttleLevel: 0,
    });
    this.cores = options.functionCores.map(place);
    this.fallback = place(options.fallbackCore);
    this.fallbackOnly = [this.fallback];
  }

  /** Accepts a call. Every outcome goes to the sink. */
  invoke(request: CallRequest, sink: Sink): void {
    const fn = this.functions.get(request.functionName);
    if (fn === undefined) {
      sink.onError(
        new NemoError('NOT_FOUND', `no function is called "${request.functionName}"`, {
          hint: 'nemo ls shows what is deployed',
        }),
        undefined,
      );
      return;
    }
    if (this.stopping) {
      sink.onError(new NemoError('STOPPING', 'the agent is stopping'), undefined);
      return;
    }
    if (fn.queued >= GATEWAY.queueMax) {
      sink.onError(
        new NemoError('OVERLOADED', `${fn.queued} calls of "${fn.spec.name}" already wait`, {
          hint: 'try again later, or call less often',
        }),
        undefined,
      );
      return;
    }
    const nowMs = performance.now();
    if (fn.queued === 0 && !this.isBusy(fn)) {
      // Coming back from idleness: no credit for the time in which it asked for nothing.
      fn.virtualMs = Math.max(fn.virtualMs, this.virtualNowMs);
    }
    fn.lastUsedMs = nowMs;
    fn.push({ request, sink, acceptedMs: nowMs, answered: false });
    this.backlog.add(fn);
    this.pump();
  }

  private isBusy(fn: FunctionState): boolean {
    for (const worker of fn.workers) if (!worker.idle) return true;
    return false;
  }

  setFunction(name: string, spec: FunctionSpec | undefined): void {
    const fn = this.functions.get(name);
    if (spec !== undefined) {
      if (fn === undefined) {
        this.functions.set(name, new FunctionState(spec, performance.now()));
        return;
      }
      fn.spec = spec;
      fn.loadFailures = 0;
      fn.loadNotBeforeMs = 0;
      fn.lastUsedMs = performance.now();
    } else if (fn !== undefined) {
      this.functions.delete(name);
      this.failQueued(fn, new NemoError('NOT_FOUND', `function "${name}" was removed`));
    }
    for (const worker of fn?.workers ?? []) {
      worker.retired = true;
      if (worker.idle && worker.state === 'warm') void this.options.pool.end(worker);
    }
    this.pump();
  }

  /** Gives waiting calls to workers until nothing more fits. */
  pump(): void {
    if (this.pumping) {
      this.again = true;
      return;
    }
    this.pumping = true;
    do {
      this.again = false;
      this.refreshCores();
      this.placeAll();
    } while (this.again);
    this.pumping = false;
    if (this.backlog.size > 0 && this.quantumTimer === undefined) {
      // Long calls lose their claim on the core with time; look again then.
      this.quantumTimer = setTimeout(() => {
        this.quantumTimer = undefined;
        this.pump();
      }, HARVEST.quantumMs);
    }
  }

  private placeAll(): void {
    let blocked: Set<FunctionState> | undefined;
    while (this.backlog.size > (blocked?.size ?? 0)) {
      let next: FunctionState | undefined;
      for (const fn of this.backlog) {
        if (blocked?.has(fn)) continue;
        if (next === undefined || fn.virtualMs < next.virtualMs) next = fn;
      }
      if (next === undefined) return;
      // Only the function whose turn it is may send ahead: otherwise it would keep the core from the others.
      if (!this.place(next, blocked === undefined)) {
        blocked ??= new Set();
        blocked.add(next);
      }
      if (next.queued === 0) this.backlog.delete(next);
    }
  }

  /** Tries to move one call of `fn` forward; false if it has to wait. */
  private place(fn: FunctionState, mayAhead: boolean): boolean {
    // A sandbox that may run several calls at once takes one more without another place on the core.
    for (const worker of fn.workers) {
      if (worker.state === 'warm' && !worker.retired && !worker.idle && worker.room > 0) {
        if (this.throttled(worker.core)) continue;
        this.send(fn, worker);
        return true;
      }
    }
    const choice = this.chooseCore();
    if (choice !== undefined) {
      const worker = this.idleWorker(fn, choice.core);
      if (worker !== undefined) {
        this.options.pool.move(worker, choice.core);
        this.send(fn, worker);
        return true;
      }
      if (fn.starting < Math.min(fn.queued, this.placesFor(fn))) this.grow(fn, choice.core);
      return false;
    }
    if (!mayAhead || this.options.policy.sendAhead === 0) return false;
    for (const worker of fn.workers) {
      if (worker.state !== 'warm' || worker.retired || this.throttled(worker.core)) continue;
      if (worker.room + this.options.policy.sendAhead > 0) {
        this.send(fn, worker);
        return true;
      }
    }
    return false;
  }

  /** More sandboxes of one function than may run at once would only cost memory. */
  private placesFor(fn: FunctionState): number {
    if (this.options.policy.runningPerCore === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    let places = 1;
    for (const core of this.cores) places += core.budgetRunning;
    const live = fn.workers.reduce((sum, worker) => sum + (worker.state === 'warm' ? 1 : 0), 0);
    return Math.max(1, places - live);
  }

  private idleWorker(fn: FunctionState, core: number): Worker | undefined {
    let best: Worker | undefined;
    for (const worker of fn.workers) {
      if (worker.state !== 'warm' || worker.retired || !worker.idle) continue;
      // On the chosen core first, then the most recently used: its caches are warmest.
      if (
        best === undefined ||
        (worker.core === core && best.core !== core) ||
        ((worker.core === core) === (best.core === core) && worker.lastUsedMs > best.lastUsedMs)
      ) {
        best = worker;
      }
    }
    return best;
  }

  private throttled(core: number): boolean {
    return this.board.get(core, Core.hasNf) === 1 && this.board.get(core, Core.budgetRunning) === 0;
  }

  private chooseCore(): PlacementCore | undefined {
    const index = this.placement.choose(this.cores);
    if (index >= 0) return this.cores[index];
    // A short freeze is waited for; elsewhere a call goes only if no core may take it for longer.
    for (const { core, budgetRunning, throttleLevel } of this.cores) {
      if (budgetRunning > 0) return undefined;
      if (throttleLevel < OFF && this.board.get(core, Core.harvestable) === 1) return undefined;
    }
    return this.placement.choose(this.fallbackOnly) >= 0 ? this.fallback : undefined;
  }

  private refreshCores(): void {
    const nowMs = performance.now();
    for (const place of this.cores) {
      place.running = 0;
      place.budgetRunning = this.board.get(place.core, Core.budgetRunning);
      place.predictedSpareRatio = this.board.get(place.core, Core.predictedSpareRatio);
      place.throttleLevel = this.board.get(place.core, Core.throttleLevel);
    }
    this.fallback.running = 0;
    if (this.options.policy.runningPerCore === Number.POSITIVE_INFINITY) return;
    for (const fn of this.functions.values()) {
      for (const worker of fn.workers) {
        if (worker.idle) continue;
        const place = this.placeOf(worker.core);
        const long = nowMs - worker.heldSinceMs > HARVEST.quantumMs && place.throttleLevel === 0;
        place.running += 1;
        if (long && place.budgetRunning < HARVEST.sharingMax) place.budgetRunning += 1;
      }
    }
  }

  private placeOf(core: number): PlacementCore {
    return this.cores.find((place) => place.core === core) ?? this.fallback;
  }

  /** Makes one more worker for waiting calls: from a stem if there is one. */
  private grow(fn: FunctionState, core: number): void {
    const { pool } = this.options;
    const spec = fn.spec;
    const stem = pool.takeStem(core);
    const origin = stem === undefined ? 'cold' : 'stem';
    fn.starting++;
    const ready = stem === undefined ? this.makeWithRetries(core) : Promise.resolve(stem);
    void ready
      .then((worker) => this.loadInto(fn, worker, spec, origin))
      .catch((thrown: unknown) => this.failQueued(fn, asNemoError(thrown)))
      .finally(() => {
        fn.starting--;
        this.pump();
      });
  }

  private async makeWithRetries(core: number): Promise<Worker> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.options.pool.make(core);
      } catch (thrown) {
        const error = asNemoError(thrown);
        if (error.code !== 'SANDBOX_START' || attempt >= DISPATCH.startAttempts || this.stopping) throw error;
      }
    }
  }

  /** Loads code into a stem and joins it to its function. Also used by prewarming, with origin `warm`. */
  async loadInto(
    fn: FunctionState,
    worker: Worker,
    spec: FunctionSpec,
    origin: Worker['origin'],
  ): Promise<void> {
    worker.origin = origin;
    fn.workers.push(worker);
    try {
      await this.options.pool.load(worker, spec);
      fn.loadFailures = 0;
    } catch (thrown) {
      const wait = DISPATCH.loadBackoffMs * 2 ** Math.min(fn.loadFailures++, 16);
      fn.loadNotBeforeMs = performance.now() + Math.min(wait, DISPATCH.loadBackoffMaxMs);
      throw thrown;
    }
    if (worker.retired || this.functions.get(spec.name) !== fn) void this.options.pool.end(worker);
    else this.pump();
  }

  private send(fn: FunctionState, worker: Worker): void {
    const pending = fn.shift()!;
    if (fn.queued === 0) this.backlog.delete(fn);
    if (pending.sink.gone) {
      // Nobody waits for it any more: its turn goes to the next.
      pending.sink.onError(new NemoError('STOPPING', 'the caller has left'), undefined);
      return;
    }
    this.virtualNowMs = Math.max(this.virtualNowMs, fn.virtualMs);
    if (worker.idle) {
      this.options.control.setBusy(worker.slot, true);
      const place = this.placeOf(worker.core);
      place.running += 1;
    }
    sendTo(worker, pending, {
      ended: (call) => this.ended(fn, worker, call),
      failed: (call, error) => this.failedCall(fn, worker, call, error),
    });
  }

  private ended(fn: FunctionState, worker: Worker, call: ActiveCall): void {
    this.leave(fn, worker, call);
    fn.completed++;
    fn.starts[call.start]++;
    const nowMs = worker.lastUsedMs;
    fn.latency.current.record((nowMs - call.acceptedMs) * 1e6);
    const timeline: CallTimeline = {
      acceptedMs: call.acceptedMs,
      dispatchedMs: call.dispatchedMs,
      firstByteMs: call.firstByteMs,
      endedMs: nowMs,
      start: call.start,
      firstInSandbox: call.firstInSandbox,
      core: worker.core,
      sandboxId: worker.id,
    };
    call.sink.onEnd(timeline);
    this.pump();
  }

  private failedCall(fn: FunctionState, worker: Worker, call: ActiveCall, error: NemoError): void {
    const sandboxDied = error.blame === 'function' && error.code !== 'FUNCTION_ERROR';
    const neverRan = error.details?.started === false || Number.isNaN(call.runningMs);
    this.leave(fn, worker, call, !sandboxDied);
    if (sandboxDied && neverRan && !call.answered && this.functions.get(fn.spec.name) === fn) {
      fn.unshift(call);
      this.backlog.add(fn);
    } else {
      this.fail(fn, call, error, worker.id);
    }
    this.pump();
  }

  private fail(fn: FunctionState, call: PendingCall, error: NemoError, sandboxId?: string): void {
    fn.failed++;
    this.options.onFailure(fn.spec.name, error, sandboxId);
    call.sink.onError(error, undefined);
  }

  private leave(fn: FunctionState, worker: Worker, call: ActiveCall, stillAlive = true): void {
    const nowMs = performance.now();
    const index = worker.calls.indexOf(call);
    if (index >= 0) worker.calls.splice(index, 1);
    worker.lastUsedMs = nowMs;
    if (!Number.isNaN(call.runningMs)) fn.virtualMs += nowMs - call.runningMs;
    if (stillAlive) worker.startTurns(nowMs);
    if (worker.idle) {
      if (this.options.pool.workers.has(worker.id)) this.options.control.setBusy(worker.slot, false);
      if (worker.retired) void this.options.pool.end(worker);
    }
  }

  private failQueued(fn: FunctionState, error: NemoError): void {
    for (let call = fn.shift(); call !== undefined; call = fn.shift()) this.fail(fn, call, error);
    this.backlog.delete(fn);
  }

  /** Told by the pool when a sandbox is gone. */
  sandboxEnded(worker: Worker, _exit: SandboxExit): void {
    const fn = this.functions.get(worker.functionName);
    const index = fn?.workers.indexOf(worker) ?? -1;
    if (index >= 0) fn!.workers.splice(index, 1);
    this.pump();
  }

  /** A core's throttle level changed. At `off` its sandboxes go where they hurt nobody. */
  coreChanged(core: number, offCore: boolean): void {
    if (offCore) {
      for (const worker of this.options.pool.workers.values()) {
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
      for (const worker of fn.workers) {
        const late = worker.calls.find((call) => nowMs - call.runningMs > fn.spec.timeoutMs);
        if (late === undefined || worker.state === 'ending') continue;
        const error = new NemoError(
          'FUNCTION_TIMEOUT',
          `function "${fn.spec.name}" did not answer within ${fn.spec.timeoutMs} ms`,
          { hint: 'raise its limit with --timeout, or make it do less' },
        );
        void this.options.pool.end(worker, error);
      }
    }
  }

  /** No call is accepted from now on; resolves when the accepted ones are answered or `graceMs` passed. */
  async drain(graceMs: number): Promise<void> {
    this.stopping = true;
    const until = performance.now() + graceMs;
    const pending = () => [...this.functions.values()].some((fn) => fn.queued > 0 || this.isBusy(fn));
    while (pending() && performance.now() < until) await new Promise((done) => setTimeout(done, 10));
    for (const fn of this.functions.values()) {
      this.failQueued(fn, new NemoError('STOPPING', 'the agent stopped before the call could run'));
    }
    clearTimeout(this.quantumTimer);
  }
}
