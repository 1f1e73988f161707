/**
 * What the dispatcher of a box does, in virtual time: queues by function, places on cores, one call sent ahead and one
 * staged, the function that received least first.
 */

import { guardAdmission } from '../sandbox/admission/guard.js';
import type { AdmissionSnapshot } from '../sandbox/admission/policy.js';
import { DISPATCH, GATEWAY, HARVEST } from '../tunables.js';
import { Places } from './places.js';
import type { SimResult } from './result.js';
import type { SimBox } from './sim-box.js';
import type { SimFunction, SimSandbox } from './sim-function.js';
import { SimGrowth } from './sim-growth.js';
import type { SimPlanner } from './sim-planner.js';

export class SimDispatcher {
  /** Calls that were sent to a sandbox. */
  served = 0;
  /** Functions with calls that wait for a place, in order. */
  private readonly backlog = new Set<SimFunction>();
  private readonly staged = new Set<SimSandbox>();
  private readonly places: Places;
  private readonly growth: SimGrowth;
  private readonly admission = guardAdmission(GATEWAY);
  private readonly admissionSnapshot;
  private readonly selectionBox = { core: 0, spareRatio: () => 1 };
  private virtualNowMs = 0;
  private readonly latenciesMs: Float32Array;
  private latencySumMs = 0;

  constructor(
    private readonly box: SimBox,
    private readonly planner: SimPlanner,
  ) {
    const { pool, options, trace } = box;
    this.places = new Places(options.cores);
    this.growth = new SimGrowth(box, () => planner.wake());
    this.latenciesMs = new Float32Array(trace.arrivalsMs.length);
    this.admissionSnapshot = {
      ...{ queued: 0, queuedBytes: 0, allQueuedBytes: 0, meanMs: 0, sandboxes: 0 },
      lackingBytes: () => pool.lacking(),
      evictableBytes: () => pool.idleBytes,
    };
  }

  arrive(fn: SimFunction, call: number): void {
    const idle = fn.queued === 0 && fn.busy === 0;
    const refusal = this.admission.refuse(this.admissionOf(fn));
    if (refusal !== undefined) {
      this.box.result.rejected++;
      return;
    }
    if (idle) fn.virtualMs = Math.max(fn.virtualMs, this.virtualNowMs);
    fn.usage.arrived(this.box.nowMs, idle);
    fn.lastUsedMs = this.box.nowMs;
    fn.push(call);
    this.pump(fn);
    this.planner.look(fn);
  }

  private admissionOf(fn: SimFunction): AdmissionSnapshot {
    const snapshot = this.admissionSnapshot;
    snapshot.queued = fn.queued;
    snapshot.sandboxes = fn.live + fn.starting + fn.making;
    snapshot.meanMs = fn.meanMs;
    return snapshot;
  }

  /** Something of the function changed. */
  pump(fn: SimFunction): void {
    if (fn.queued > 0) this.backlog.add(fn);
    if (this.places.counted) this.placeAll();
    else while (fn.queued > 0 && this.place(fn) === 'sent');
    if (fn.queued === 0) this.backlog.delete(fn);
  }

  /** As the dispatcher: the function that received least goes first, and keeps those behind it from its place. */
  placeAll(): void {
    for (const sandbox of this.staged) if (this.places.free) this.giveTurn(sandbox);
    const starting = new Set<SimFunction>();
    while (this.backlog.size > starting.size) {
      let next: SimFunction | undefined;
      for (const fn of this.backlog) {
        if (!starting.has(fn) && (next === undefined || fn.virtualMs < next.virtualMs)) next = fn;
      }
      const placed = this.place(next!);
      if (placed === 'no place') return;
      if (placed === 'starting') starting.add(next!);
      if (next!.queued === 0) {
        this.backlog.delete(next!);
        starting.delete(next!);
      }
    }
  }

  /** Tries to move one call forward. */
  private place(fn: SimFunction): 'sent' | 'starting' | 'no place' {
    if (this.box.nowMs - this.box.arrivalMs(fn.head) > DISPATCH.queueWaitMaxMs) {
      fn.shift();
      this.box.result.rejected++;
      return 'sent';
    }
    if (this.places.free) {
      const sandbox = this.select(fn);
      if (sandbox !== undefined) {
        this.start(sandbox, this.charge(fn), false);
        return 'sent';
      }
      const most = this.places.counted ? Math.max(1, this.places.total - fn.live) : fn.queued;
      if (fn.starting < Math.min(fn.queued, most)) this.growth.start(fn);
      return 'starting';
    }
    const ahead = fn.aheadFree();
    if (ahead !== undefined) {
      ahead.ahead = this.charge(fn);
      return 'sent';
    }
    const beside = this.places.freeStaged && fn.busy === 0 ? this.select(fn) : undefined;
    if (beside === undefined) return 'no place';
    this.start(beside, this.charge(fn), true);
    return 'sent';
  }

  /** A call leaves the queue: its function is charged for the mean length until its own is known. */
  private charge(fn: SimFunction): number {
    this.virtualNowMs = Math.max(this.virtualNowMs, fn.virtualMs);
    fn.virtualMs += fn.meanMs;
    return fn.shift();
  }

  private giveTurn(sandbox: SimSandbox): void {
    this.staged.delete(sandbox);
    sandbox.staged = false;
    this.places.leave(true, false);
    this.places.enter(false);
    this.box.events.push(this.box.nowMs + HARVEST.quantumMs, { kind: 'long', sandbox, call: sandbox.call });
  }

  private select(fn: SimFunction): SimSandbox | undefined {
    const { selection } = this.box.options.policies;
    let best: SimSandbox | undefined;
    for (const sandbox of fn.idle) {
      if (best === undefined || selection.better(sandbox, best, this.selectionBox)) best = sandbox;
    }
    return best;
  }

  private start(sandbox: SimSandbox, call: number, staged: boolean): void {
    const fn = sandbox.fn!;
    this.box.pool.becameBusy(sandbox);
    fn.busy++;
    fn.busySandboxes.add(sandbox);
    sandbox.staged = staged;
    if (staged) this.staged.add(sandbox);
    this.places.enter(staged);
    this.runCall(sandbox, call);
  }

  private runCall(sandbox: SimSandbox, call: number): void {
    sandbox.chargedMs = sandbox.fn!.meanMs;
    const latencyMs = this.box.nowMs - this.box.arrivalMs(call);
    const missed = !sandbox.used && this.box.arrivalMs(call) < sandbox.warmSinceMs;
    this.box.result[missed ? sandbox.origin : 'warm']++;
    sandbox.used = true;
    sandbox.call = call;
    sandbox.long = false;
    this.latenciesMs[this.served++] = latencyMs;
    this.latencySumMs += latencyMs;
    const durationMs = this.box.trace.durationsMs[call]!;
    this.box.events.push(this.box.nowMs + durationMs, { kind: 'end', sandbox, call });
    if (this.places.counted && !sandbox.staged && durationMs > HARVEST.quantumMs) {
      this.box.events.push(this.box.nowMs + HARVEST.quantumMs, { kind: 'long', sandbox, call });
    }
  }

  ended(sandbox: SimSandbox, call: number): void {
    const fn = sandbox.fn!;
    const durationMs = this.box.trace.durationsMs[call]!;
    fn.virtualMs += durationMs - sandbox.chargedMs;
    fn.meanMs += DISPATCH.meanWeight * (durationMs - fn.meanMs);
    fn.usage.ended(this.box.nowMs);
    sandbox.lastUsedMs = this.box.nowMs;
    sandbox.clockAtUse = this.box.pool.clock;
    sandbox.call = -1;
    this.places.leave(sandbox.staged, sandbox.long);
    this.staged.delete(sandbox);
    if (sandbox.ahead >= 0) {
      const next = sandbox.ahead;
      sandbox.ahead = -1;
      sandbox.staged = false;
      this.places.enter(false);
      this.runCall(sandbox, next);
    } else {
      fn.busy--;
      fn.busySandboxes.delete(sandbox);
      this.box.pool.becameIdle(sandbox);
      this.pump(fn);
    }
    if (this.places.counted) this.placeAll();
    this.planner.look(fn);
    this.planner.expire(fn, true);
  }

  /** A call ran for a quantum: it no longer keeps others off the core. */
  grewLong(sandbox: SimSandbox, call: number): void {
    if (sandbox.call !== call) return;
    sandbox.long = true;
    this.places.grewLong();
    this.placeAll();
  }

  /** A sandbox for which calls wait is there. */
  started(sandbox: SimSandbox): void {
    const fn = sandbox.fn!;
    fn.starting--;
    fn.usage.started(this.box.nowMs - sandbox.madeMs);
    this.becameWarm(sandbox);
  }

  becameWarm(sandbox: SimSandbox): void {
    const fn = sandbox.fn!;
    fn.live++;
    fn.hasImage = true;
    sandbox.lastUsedMs = this.box.nowMs;
    sandbox.warmSinceMs = this.box.nowMs;
    sandbox.clockAtUse = this.box.pool.clock;
    this.box.pool.becameIdle(sandbox);
    this.pump(fn);
    this.planner.look(fn);
    this.planner.expire(fn, true);
  }

  startLatency(): SimResult['startLatencyMs'] {
    const { served } = this;
    const sorted = this.latenciesMs.subarray(0, served).sort();
    const at = (share: number): number => sorted[Math.min(served - 1, Math.floor(share * served))] ?? 0;
    return { mean: served === 0 ? 0 : this.latencySumMs / served, p50: at(0.5), p99: at(0.99) };
  }
}
