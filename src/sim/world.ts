/**
 * A box in virtual time. It does what dispatcher, growth, pool and planner do, with the very policy objects that a box
 * runs, and costs instead of processes. Where function cores are counted, starts share
 * them. What it leaves out: calls do not slow each other.
 */

import { guardAdmission } from '../sandbox/admission/guard.js';
import type { AdmissionSnapshot } from '../sandbox/admission/policy.js';
import type { PoolPolicies } from '../sandbox/policies.js';
import { RecentTimes } from '../sandbox/recent-times.js';
import { DISPATCH, GATEWAY, HARVEST } from '../tunables.js';
import type { Costs } from './costs.js';
import { EventQueue } from './event-queue.js';
import { Places } from './places.js';
import type { SimResult } from './result.js';
import { SharedCores } from './shared-cores.js';
import { SimFunction, type SimSandbox, type SimStart } from './sim-function.js';
import { SimPool } from './sim-pool.js';
import type { Trace } from './trace.js';

export interface WorldOptions {
  policies: PoolPolicies;
  costs: Costs;
  /** Most memory of all sandboxes. Default: no bound. */
  capacityBytes?: number;
  /** Function cores whose places are counted; default: every call runs at once. */
  cores?: number;
}

type Event =
  | { kind: 'ready' | 'end' | 'long'; sandbox: SimSandbox; call: number }
  | { kind: 'expire' | 'look' | 'again'; fn: SimFunction }
  | { kind: 'prewarm' | 'trim' }
  | { kind: 'made'; sandbox: SimSandbox };

/** Prewarming before the trace begins is bounded by this. */
const SETTLE_MAX_MS = 600_000;
/** A box looks at its stems at every sweep; here more seldom, since nothing else happens for hours. */
const TRIM_MS = 10_000;
const STEM_KEY = 'process';

export class World {
  private nowMs = 0;
  private readonly events = new EventQueue<Event>();
  private readonly functions: SimFunction[];
  private readonly short = new Set<SimFunction>();
  /** Functions with calls that wait for a place, in order. */
  private readonly backlog = new Set<SimFunction>();
  private readonly staged = new Set<SimSandbox>();
  private readonly asked = new RecentTimes();
  private readonly pool: SimPool;
  private readonly starts: SharedCores<Event>;
  private readonly places: Places;
  private readonly admission = guardAdmission(GATEWAY);
  private readonly box = { core: 0, spareRatio: () => 1 };
  private making = false;
  private prewarmMs = Number.POSITIVE_INFINITY;
  private virtualNowMs = 0;
  private latencies: Float32Array;
  private served = 0;
  private latencySum = 0;
  private readonly shift: number;
  private readonly result: SimResult;

  constructor(
    private readonly trace: Trace,
    private readonly options: WorldOptions,
  ) {
    this.functions = trace.functionNames.map(() => new SimFunction());
    this.latencies = new Float32Array(trace.arrivalsMs.length);
    this.pool = new SimPool(
      options.costs.sandboxBytes,
      options.capacityBytes ?? Number.POSITIVE_INFINITY,
      options.policies.keepAlive,
      (fn) => this.look(fn),
    );
    this.places = new Places(options.cores);
    this.starts = new SharedCores(options.cores ?? Number.POSITIVE_INFINITY);
    // As on a box, functions are deployed before they are called: what is made ahead is there by then.
    this.shift = Math.min(SETTLE_MAX_MS, 1000 + this.functions.length * options.costs.coldMs * 2);
    this.result = {
      policies: `${options.policies.prewarm.name}+${options.policies.keepAlive.name}`,
      capacityBytes: options.capacityBytes ?? null,
      calls: trace.arrivalsMs.length,
      ...{ cold: 0, stem: 0, restored: 0, warm: 0, rejected: 0, missRatio: 0 },
      startLatencyMs: { mean: 0, p50: 0, p99: 0 },
      ...{ memoryGiBs: 0, idleMemoryGiBs: 0, memoryMaxBytes: 0, prewarmed: 0, expired: 0, evicted: 0 },
    };
  }

  run(): SimResult {
    const { arrivalsMs, functions } = this.trace;
    for (const fn of this.functions) this.look(fn);
    this.wakePrewarm();
    this.events.push(TRIM_MS, { kind: 'trim' });
    let next = 0;
    let counting = false;
    for (;;) {
      const arrivalMs = next < arrivalsMs.length ? arrivalsMs[next]! + this.shift : Number.POSITIVE_INFINITY;
      const startMs = this.starts.nextMs;
      const eventMs = Math.min(startMs, this.events.nextMs);
      if (arrivalMs <= eventMs) {
        // The trace is over: calls that run end, and nothing is kept for nobody.
        if (arrivalMs === Number.POSITIVE_INFINITY) break;
        this.advance(arrivalMs);
        if (!counting) {
          counting = true;
          this.pool.memoryGiBs = 0;
          this.pool.idleMemoryGiBs = 0;
        }
        this.arrive(this.functions[functions[next]!]!, next++);
      } else if (next === arrivalsMs.length && this.served + this.result.rejected === next) {
        break;
      } else {
        this.advance(eventMs);
        this.handle(eventMs === startMs ? this.starts.pop(eventMs) : this.events.pop());
      }
    }
    return this.finish();
  }

  private advance(toMs: number): void {
    this.pool.advance(toMs);
    this.nowMs = toMs;
  }

  private handle(event: Event): void {
    switch (event.kind) {
      case 'ready':
        event.sandbox.fn!.starting--;
        event.sandbox.fn!.usage.started(this.nowMs - event.sandbox.madeMs);
        this.becameWarm(event.sandbox);
        break;
      case 'end':
        this.ended(event.sandbox, event.call);
        break;
      case 'long':
        if (event.sandbox.call !== event.call) break;
        event.sandbox.long = true;
        this.places.grewLong();
        this.placeAll();
        break;
      case 'expire':
        event.fn.expireMs = Number.POSITIVE_INFINITY;
        this.expire(event.fn);
        break;
      case 'look':
        event.fn.lookMs = Number.POSITIVE_INFINITY;
        this.look(event.fn);
        this.expire(event.fn);
        break;
      case 'again':
        this.pump(event.fn);
        break;
      case 'prewarm':
        this.prewarmMs = Number.POSITIVE_INFINITY;
        this.prewarm();
        break;
      case 'trim':
        this.events.push(this.nowMs + TRIM_MS, event);
        while (this.pool.stems.length > this.stemsWanted()) this.pool.dropStem();
        break;
      case 'made':
        this.making = false;
        if (event.sandbox.fn === undefined) {
          this.pool.addStem(event.sandbox);
        } else {
          event.sandbox.fn.making--;
          this.becameWarm(event.sandbox);
        }
        this.prewarm();
    }
  }

  // What the dispatcher does.

  private arrive(fn: SimFunction, call: number): void {
    const idle = fn.queued === 0 && fn.busy === 0;
    const refusal = this.admission.refuse(this.admissionOf(fn));
    if (refusal !== undefined) {
      this.result.rejected++;
      return;
    }
    if (idle) fn.virtualMs = Math.max(fn.virtualMs, this.virtualNowMs);
    fn.usage.arrived(this.nowMs, idle);
    fn.lastUsedMs = this.nowMs;
    fn.push(call);
    this.pump(fn);
    this.look(fn);
  }

  private admissionOf(fn: SimFunction): AdmissionSnapshot {
    const snapshot = this.admissionSnapshot;
    snapshot.queued = fn.queued;
    snapshot.sandboxes = fn.live + fn.starting + fn.making;
    snapshot.meanMs = fn.meanMs;
    return snapshot;
  }

  private readonly admissionSnapshot = {
    queued: 0,
    queuedBytes: 0,
    meanMs: 0,
    sandboxes: 0,
    lackingBytes: () => this.pool.lacking(),
    evictableBytes: () => this.pool.idleBytes,
  };

  /** Something of the function changed. */
  private pump(fn: SimFunction): void {
    if (fn.queued > 0) this.backlog.add(fn);
    if (this.places.counted) this.placeAll();
    else while (fn.queued > 0 && this.place(fn) === 'sent');
    if (fn.queued === 0) this.backlog.delete(fn);
  }

  /** As the dispatcher: the function that received least goes first, and keeps those behind it from its place. */
  private placeAll(): void {
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
    if (this.nowMs - this.arrivalMs(fn.head) > DISPATCH.queueWaitMaxMs) {
      fn.shift();
      this.result.rejected++;
      return 'sent';
    }
    if (this.places.free) {
      const sandbox = this.select(fn);
      if (sandbox !== undefined) {
        this.start(sandbox, this.charge(fn), false);
        return 'sent';
      }
      const most = this.places.counted ? Math.max(1, this.places.total - fn.live) : fn.queued;
      if (fn.starting < Math.min(fn.queued, most)) this.grow(fn);
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
    this.events.push(this.nowMs + HARVEST.quantumMs, { kind: 'long', sandbox, call: sandbox.call });
  }

  private select(fn: SimFunction): SimSandbox | undefined {
    const { selection } = this.options.policies;
    let best: SimSandbox | undefined;
    for (const sandbox of fn.idle) {
      if (best === undefined || selection.better(sandbox, best, this.box)) best = sandbox;
    }
    return best;
  }

  private start(sandbox: SimSandbox, call: number, staged: boolean): void {
    const fn = sandbox.fn!;
    this.pool.becameBusy(sandbox);
    fn.busy++;
    fn.busySandboxes.add(sandbox);
    sandbox.staged = staged;
    if (staged) this.staged.add(sandbox);
    this.places.enter(staged);
    this.run1(sandbox, call);
  }

  private run1(sandbox: SimSandbox, call: number): void {
    sandbox.chargedMs = sandbox.fn!.meanMs;
    const latencyMs = this.nowMs - this.arrivalMs(call);
    const missed = !sandbox.used && this.arrivalMs(call) < sandbox.warmSinceMs;
    this.result[missed ? sandbox.origin : 'warm']++;
    sandbox.used = true;
    sandbox.call = call;
    sandbox.long = false;
    this.latencies[this.served++] = latencyMs;
    this.latencySum += latencyMs;
    const durationMs = this.trace.durationsMs[call]!;
    this.events.push(this.nowMs + durationMs, { kind: 'end', sandbox, call });
    if (this.places.counted && !sandbox.staged && durationMs > HARVEST.quantumMs) {
      this.events.push(this.nowMs + HARVEST.quantumMs, { kind: 'long', sandbox, call });
    }
  }

  private ended(sandbox: SimSandbox, call: number): void {
    const fn = sandbox.fn!;
    const durationMs = this.trace.durationsMs[call]!;
    fn.virtualMs += durationMs - sandbox.chargedMs;
    fn.meanMs += DISPATCH.meanWeight * (durationMs - fn.meanMs);
    fn.usage.ended(this.nowMs);
    sandbox.lastUsedMs = this.nowMs;
    sandbox.clockAtUse = this.pool.clock;
    sandbox.call = -1;
    this.places.leave(sandbox.staged, sandbox.long);
    this.staged.delete(sandbox);
    if (sandbox.ahead >= 0) {
      const next = sandbox.ahead;
      sandbox.ahead = -1;
      sandbox.staged = false;
      this.places.enter(false);
      this.run1(sandbox, next);
    } else {
      fn.busy--;
      fn.busySandboxes.delete(sandbox);
      this.pool.becameIdle(sandbox);
      this.pump(fn);
    }
    if (this.places.counted) this.placeAll();
    this.look(fn);
    this.expire(fn, true);
  }

  // What growth and pool do.

  /** A sandbox for a call that waits. False: there is no memory. */
  private grow(fn: SimFunction): boolean {
    const { costs, policies } = this.options;
    if (this.nowMs < fn.growNotBeforeMs) return false;
    fn.usage.misses.record(this.nowMs);
    this.asked.record(this.nowMs);
    let sandbox: SimSandbox | undefined;
    let origin: SimStart = 'cold';
    let tookMs = costs.coldMs;
    if (policies.prewarm.restoreFirst === true && fn.hasImage && costs.restoreMs !== undefined) {
      origin = 'restored';
      tookMs = costs.restoreMs;
    } else if (this.pool.stems.length > 0) {
      sandbox = this.pool.takeStem();
      origin = 'stem';
      tookMs = costs.stemMs;
    }
    if (sandbox === undefined) {
      if (!this.pool.makeRoom()) {
        this.noRoom(fn);
        return false;
      }
      sandbox = this.pool.make();
    }
    sandbox.fn = fn;
    sandbox.usage = fn.usage;
    sandbox.origin = origin;
    sandbox.madeMs = this.nowMs;
    fn.starting++;
    this.starts.add(this.nowMs, tookMs, { kind: 'ready', sandbox, call: -1 });
    this.wakePrewarm();
    return true;
  }

  /** Calls wait if a sandbox of the function lives, and fail otherwise. */
  private noRoom(fn: SimFunction): void {
    fn.growNotBeforeMs = this.nowMs + DISPATCH.growBackoffMs;
    if (fn.live + fn.starting + fn.making > 0) {
      this.events.push(fn.growNotBeforeMs, { kind: 'again', fn });
      return;
    }
    for (; fn.queued > 0; fn.shift()) this.result.rejected++;
  }

  private becameWarm(sandbox: SimSandbox): void {
    const fn = sandbox.fn!;
    fn.live++;
    fn.hasImage = true;
    sandbox.lastUsedMs = this.nowMs;
    sandbox.warmSinceMs = this.nowMs;
    sandbox.clockAtUse = this.pool.clock;
    this.pool.becameIdle(sandbox);
    this.pump(fn);
    this.look(fn);
    this.expire(fn, true);
  }

  // What the planner does.

  /** Ends idle sandboxes whose time is over and that prewarming does not want; `later`: not before the next sweep. */
  private expire(fn: SimFunction, later = false): void {
    if (fn.idle.length === 0) return;
    const { keepAlive, prewarm } = this.options.policies;
    let spare = fn.live - prewarm.warm(fn.usage, this.nowMs).sandboxes;
    if (spare <= 0) return;
    let nextMs = Number.POSITIVE_INFINITY;
    if (fn.idle.length > 1) fn.idle.sort((a, b) => a.lastUsedMs - b.lastUsedMs);
    for (let i = 0; i < fn.idle.length && spare > 0; ) {
      const sandbox = fn.idle[i]!;
      const expiresMs = keepAlive.expiresMs(sandbox, this.nowMs);
      if (!later && expiresMs <= this.nowMs) {
        this.pool.remove(sandbox);
        this.result.expired++;
        spare--;
        this.wakePrewarm();
        continue;
      }
      nextMs = Math.min(nextMs, expiresMs);
      i++;
    }
    if (nextMs >= fn.expireMs) return;
    fn.expireMs = this.sweepAfter(nextMs);
    if (fn.expireMs !== Number.POSITIVE_INFINITY) this.events.push(fn.expireMs, { kind: 'expire', fn });
  }

  /** Asks how many sandboxes the function should have, and looks again when that may change. */
  private look(fn: SimFunction): void {
    const wanted = this.options.policies.prewarm.warm(fn.usage, this.nowMs);
    if (fn.live + fn.starting + fn.making < wanted.sandboxes) {
      this.short.add(fn);
      this.wakePrewarm();
    } else this.short.delete(fn);
    if (wanted.untilMs < fn.lookMs && wanted.untilMs > this.nowMs) {
      fn.lookMs = wanted.untilMs;
      this.events.push(fn.lookMs, { kind: 'look', fn });
    }
  }

  private wakePrewarm(): void {
    if (this.making || this.prewarmMs !== Number.POSITIVE_INFINITY) return;
    this.prewarmMs = this.sweepAfter(this.nowMs);
    this.events.push(this.prewarmMs, { kind: 'prewarm' });
  }

  /** One sandbox after the other. */
  private prewarm(): void {
    const { costs } = this.options;
    if (this.making || this.pool.lacking() > 0) return;
    let chosen: SimFunction | undefined;
    for (const fn of this.short) {
      if (chosen === undefined || fn.lastUsedMs > chosen.lastUsedMs) chosen = fn;
    }
    if (chosen === undefined && this.pool.stems.length >= this.stemsWanted()) return;
    const stem = chosen !== undefined && this.pool.stems.length > 0 ? this.pool.takeStem() : undefined;
    const sandbox = stem ?? this.pool.make();
    this.making = true;
    this.result.prewarmed++;
    if (chosen !== undefined) {
      sandbox.fn = chosen;
      sandbox.usage = chosen.usage;
      sandbox.origin = 'warm';
      chosen.making++;
      this.look(chosen);
    }
    this.starts.add(this.nowMs, stem === undefined ? costs.coldMs : costs.stemMs, { kind: 'made', sandbox });
  }

  private stemsWanted(): number {
    const demand = { key: STEM_KEY, functions: this.functions.length, asked: this.asked };
    return this.options.policies.prewarm.stems(demand, this.nowMs);
  }

  private sweepAfter(timeMs: number): number {
    return (Math.floor(Math.max(timeMs, this.nowMs) / DISPATCH.sweepMs) + 1) * DISPATCH.sweepMs;
  }

  private arrivalMs(call: number): number {
    return this.trace.arrivalsMs[call]! + this.shift;
  }

  private finish(): SimResult {
    const sorted = this.latencies.subarray(0, this.served).sort();
    const at = (share: number): number =>
      sorted[Math.min(this.served - 1, Math.floor(share * this.served))] ?? 0;
    const { cold, stem, restored } = this.result;
    return {
      ...this.result,
      memoryGiBs: this.pool.memoryGiBs,
      idleMemoryGiBs: this.pool.idleMemoryGiBs,
      memoryMaxBytes: this.pool.memoryMaxBytes,
      evicted: this.pool.evicted,
      missRatio: this.served === 0 ? 0 : (cold + stem + restored) / this.served,
      startLatencyMs: {
        mean: this.served === 0 ? 0 : this.latencySum / this.served,
        p50: at(0.5),
        p99: at(0.99),
      },
    };
  }
}
