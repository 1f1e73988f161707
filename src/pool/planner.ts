/**
 * The planner asks the policies what to make ahead and what to end, and has it done. It looks at a function when
 * something of it changed or when a policy said that its answer changes, in steps of DISPATCH.sweepMs. Sandboxes are
 * made one after the other, pinned to function cores at SCHED_IDLE, so the work itself is harvested.
 */

import type { SandboxSlots } from '../control/sandbox-slots.js';
import type { StemKind } from '../engine/engines.js';
import { type Clock, realClock, type Timer } from '../model/clock.js';
import { asNemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import type { IdleSandbox, KeepAlivePolicy } from '../policy/keepalive/policy.js';
import { nextToMake, type PrewarmDecision } from '../policy/prewarm/next.js';
import type { PrewarmPolicy } from '../policy/prewarm/policy.js';
import { DISPATCH } from '../tunables/index.js';
import type { Deployed, FunctionState } from './function-state.js';
import { coreToGrowOn } from './grow-core.js';
import type { Instance } from './instance.js';
import type { Pool } from './pool.js';
import { ReviewTimes } from './review-times.js';
import { StemDemands } from './stem-demands.js';
import { isAhead } from './stem-source.js';

export interface PlannerOptions {
  /** Default: the real one. */
  clock?: Clock;
  control: SandboxSlots;
  pool: Pool;
  dispatcher: Deployed;
  functionCores: readonly number[];
  prewarm: PrewarmPolicy;
  keepAlive: KeepAlivePolicy;
  onEvicted: (functionName: string, sandboxId: string, why: string) => void;
  onWarning: (message: string) => void;
  /** Something that an operator may want to know and need not act upon. */
  onNote?: (message: string) => void;
  /** A sandbox is being made ahead of calls: of a function, or a stem. */
  onPrewarm?: (what: PrewarmDecision) => void;
}

export class Planner {
  private readonly clock: Clock;
  private timer: Timer | undefined;
  private timerMs = Number.POSITIVE_INFINITY;
  private started = false;
  /** The timer is set for the next step. */
  private awake = false;
  private stopped = false;
  private making = false;
  private notBeforeMs = 0;
  /** Functions of which something changed, and when the others are to be looked at. */
  private readonly changes = new Set<FunctionState>();
  private readonly looks = new ReviewTimes<FunctionState>();
  /** Functions with fewer sandboxes than they should have. */
  private readonly short = new Set<FunctionState>();
  private readonly demands: StemDemands;

  constructor(private readonly options: PlannerOptions) {
    this.clock = options.clock ?? realClock;
    this.demands = new StemDemands(options.pool, options.prewarm, options.dispatcher);
  }

  start(): void {
    this.started = true;
    this.wake();
  }

  stop(): void {
    this.stopped = true;
    this.clock.cancel(this.timer);
  }

  /** Told by the dispatcher: something happened to a function, or to stems. */
  changed(fn: FunctionState | undefined): void {
    if (fn !== undefined) this.changes.add(fn);
    this.wake();
  }

  /** Asked for with every call: the timer is set once for all until the next step. */
  private wake(): void {
    if (this.awake || !this.started) return;
    this.awake = true;
    this.wakeAt(this.clock.nowMs());
  }

  /** Has it look at the first step after that moment. */
  private wakeAt(timeMs: number): void {
    if (timeMs >= this.timerMs || timeMs === Number.POSITIVE_INFINITY) return;
    const stepMs = (Math.floor(timeMs / DISPATCH.sweepMs) + 1) * DISPATCH.sweepMs;
    if (stepMs >= this.timerMs || !this.started || this.stopped) return;
    this.clock.cancel(this.timer);
    this.timerMs = stepMs;
    this.timer = this.clock.after(stepMs - this.clock.nowMs(), this.onTimer);
  }

  private readonly onTimer = (): void => {
    this.timerMs = Number.POSITIVE_INFINITY;
    this.awake = false;
    this.tick();
  };

  /** Also called when the pool changed, so that a burst of prewarming does not wait for the timer. */
  tick(): void {
    if (this.stopped) return;
    const nowMs = this.clock.nowMs();
    for (const fn of this.changes) this.review(fn, nowMs);
    this.changes.clear();
    for (let fn = this.looks.due(nowMs); fn !== undefined; fn = this.looks.due(nowMs)) this.review(fn, nowMs);
    const short = this.demands.review(nowMs);
    const surplus = this.demands.surplus;
    if (surplus !== undefined) void this.options.pool.end(surplus);
    const blocked = this.makeNext(nowMs, short);
    if (blocked) this.wake();
    else {
      const stemsMs =
        this.options.pool.stems.ready.length > 0 ? nowMs + DISPATCH.stemsLookMs : Number.POSITIVE_INFINITY;
      this.wakeAt(Math.min(this.looks.nextMs, stemsMs));
    }
  }

  private review(fn: FunctionState, nowMs: number): void {
    const { dispatcher, prewarm } = this.options;
    if (dispatcher.functions.get(fn.key) !== fn) {
      this.short.delete(fn);
      return;
    }
    const wanted = prewarm.warm(fn.usage, nowMs);
    if (fn.sandboxes < wanted.sandboxes) this.short.add(fn);
    else this.short.delete(fn);
    const expiresMs = this.endUnused(fn, wanted.sandboxes, nowMs);
    this.looks.at(fn, wanted.untilMs > nowMs ? Math.min(wanted.untilMs, expiresMs) : expiresMs);
  }

  /** Returns when the next one of the function may be unused for long enough. */
  private endUnused(fn: FunctionState, wanted: number, nowMs: number): number {
    const { keepAlive } = this.options;
    let nextMs = Number.POSITIVE_INFINITY;
    let spare = -wanted;
    for (const instance of fn.instances) if (instance.isLive) spare++;
    if (spare <= 0) return nextMs;
    // The least recently used first, so that those that stay are the hottest.
    const idle = fn.instances.filter((instance) => instance.isLive && instance.idle);
    if (idle.length > 1) idle.sort((a, b) => a.lastUsedMs - b.lastUsedMs);
    for (const instance of idle) {
      if (spare === 0) break;
      const expiresMs = keepAlive.expiresMs(entry(instance, fn), nowMs);
      if (expiresMs <= nowMs) {
        void this.evict(instance, 'unused');
        spare--;
      } else nextMs = Math.min(nextMs, expiresMs);
    }
    return nextMs;
  }

  /** Ends idle sandboxes until one of so many bytes can be made, as far as there are any. */
  async makeRoom(bytes: number, kind?: StemKind): Promise<void> {
    while (this.options.pool.lackingBytes(bytes, kind) > 0 && (await this.endVictim()));
  }

  /** Ends the idle sandbox of the lowest priority, or else a stem. False: there is none. */
  async endVictim(): Promise<boolean> {
    const { pool, dispatcher, keepAlive } = this.options;
    let victim: Instance | undefined;
    let lowest = Number.POSITIVE_INFINITY;
    for (const instance of pool.instances.values()) {
      if (instance.state !== 'warm' || !instance.idle) continue;
      const fn = dispatcher.functions.get(instance.functionKey);
      if (fn === undefined) continue;
      const priority = keepAlive.priority(entry(instance, fn));
      if (victim !== undefined && priority >= lowest) continue;
      victim = instance;
      lowest = priority;
    }
    if (victim !== undefined) pool.clock = Math.max(pool.clock, lowest);
    victim ??= pool.stems.ready[0];
    if (victim === undefined) return false;
    await this.evict(victim, 'memory pressure');
    return true;
  }

  private evict(instance: Instance, why: string): Promise<void> {
    this.options.onEvicted(instance.functionKey, instance.id, why);
    return this.options.pool.end(instance);
  }

  /** True: something should be made and cannot be now. */
  private makeNext(nowMs: number, stems: ReturnType<StemDemands['review']>): boolean {
    const { pool, prewarm, onPrewarm } = this.options;
    if (this.making || (this.short.size === 0 && !this.demands.lacking)) return false;
    if (nowMs < this.notBeforeMs) return true;
    const core = coreToGrowOn(this.options.control.board, this.options.functionCores);
    const decision = nextToMake(prewarm, {
      nowMs,
      stems,
      mayGrow: core >= 0 && pool.lackingBytes(pool.stemBytes) <= 0,
      functions: this.short,
    });
    if (decision === undefined) return true;
    this.making = true;
    onPrewarm?.(decision);
    const work =
      decision.kind === 'stem'
        ? this.makeStem(decision.key, core)
        : this.makeWarm(decision.functionKey, core);
    const told = work.catch((thrown: unknown) => {
      const error = asNemoError(thrown);
      this.notBeforeMs = this.clock.nowMs() + DISPATCH.loadBackoffMs;
      if (error.blame === 'system' && error.code !== 'STOPPING') this.options.onWarning(error.ownersMessage);
    });
    // What takes minutes to start or to load is no reason to make nothing of others.
    let timer: Timer | undefined;
    const patience = new Promise<void>((over) => {
      timer = this.clock.after(DISPATCH.loadPatienceMs, over);
    });
    void Promise.race([told, patience]).finally(() => {
      this.clock.cancel(timer);
      this.making = false;
      this.tick();
    });
    return false;
  }

  private async makeStem(key: string, core: number): Promise<void> {
    const kind = this.demands.kind(key);
    if (kind === undefined) return;
    const { pool, onNote } = this.options;
    try {
      await pool.stems.make(core, kind);
      this.demands.made(key);
    } catch (thrown) {
      const error = asNemoError(thrown);
      this.demands.failed(key, this.clock.nowMs());
      if (!isAhead(kind) || error.code === 'NO_CAPACITY' || error.code === 'STOPPING') throw error;
      // What functions' own code does to a stem is no reason to make nothing else.
      onNote?.(`no stem imports ${kind.ahead.join(', ')} ahead of calls: ${error.ownersMessage}`);
    }
  }

  private async makeWarm(functionKey: string, core: number): Promise<void> {
    const { dispatcher } = this.options;
    const fn = dispatcher.functions.get(functionKey);
    if (fn === undefined) return;
    const instance = await this.startFor(fn, core);
    if (instance === undefined) {
      // There may be thousands of such functions.
      this.notBeforeMs = this.clock.nowMs() + DISPATCH.sweepMs;
      return;
    }
    try {
      await dispatcher.prewarm(fn, instance);
    } catch (thrown) {
      // The function's own fault: it has its own back-off, others must not wait for it.
      if (asNemoError(thrown).blame === 'system') throw thrown;
    }
  }

  /** One that cannot be started, or not soon, is put off: others get their turn. */
  private async startFor(fn: FunctionState, core: number): Promise<Instance | undefined> {
    const putOff = (): void => fn.putOff(this.clock.nowMs());
    const timer = this.clock.after(DISPATCH.loadPatienceMs, putOff);
    let instance: Instance | undefined;
    try {
      instance = await this.takeOrMake(fn.spec, core);
      return instance;
    } finally {
      this.clock.cancel(timer);
      if (instance === undefined) putOff();
    }
  }

  /** Undefined: there is no memory for it, though there may be for others. */
  private async takeOrMake(spec: FunctionSpec, core: number): Promise<Instance | undefined> {
    const { pool } = this.options;
    const [kind, bytes] = [pool.stemKind(spec), spec.memoryBytes];
    const stem = await pool.takeStemFor(spec, core);
    if (stem !== undefined || pool.lackingBytes(bytes, kind) > 0) return stem;
    return pool.make(core, kind, bytes, false, spec);
  }
}

function entry({ lastUsedMs, memoryBytes, clockAtUse }: Instance, { usage }: FunctionState): IdleSandbox {
  return { lastUsedMs, memoryBytes, clockAtUse, usage };
}
