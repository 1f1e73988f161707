/**
 * The planner: every DISPATCH.sweepMs it asks the policies what to make ahead and what to end, and has it done.
 * Sandboxes are made one after the other, pinned to function cores at SCHED_IDLE, so the work itself is harvested.
 */

import { LADDER } from '../conflict/ladder.js';
import { type Board, Core } from '../control/board.js';
import type { SandboxSlots } from '../control/sandbox-slots.js';
import { asNemoError } from '../errors.js';
import type { Dispatcher } from '../invoke/dispatcher.js';
import type { FunctionState } from '../invoke/function-state.js';
import { DISPATCH } from '../tunables.js';
import { ENGINE_DEFAULT } from './engines/builtin.js';
import { type StemKind, stemKind } from './engines/engines.js';
import type { KeepAlivePolicy } from './keepalive/ttl.js';
import type { Pool } from './pool.js';
import type { PrewarmFunction, PrewarmPolicy } from './prewarm/policy.js';

const DEFAULT_KIND = stemKind(ENGINE_DEFAULT);

export interface PlannerOptions {
  control: SandboxSlots;
  pool: Pool;
  dispatcher: Dispatcher;
  functionCores: readonly number[];
  /** Undefined: nothing is made ahead. */
  prewarm: PrewarmPolicy | undefined;
  keepAlive: KeepAlivePolicy;
  onEvicted: (functionName: string, sandboxId: string, why: string) => void;
  onWarning: (message: string) => void;
}

export class Planner {
  private timer: NodeJS.Timeout | undefined;
  private making = false;
  private rotatedMs = performance.now();
  private stopped = false;
  private notBeforeMs = 0;

  constructor(private readonly options: PlannerOptions) {}

  start(): void {
    this.timer = setInterval(() => this.tick(), DISPATCH.sweepMs);
  }

  stop(): void {
    this.stopped = true;
    clearInterval(this.timer);
  }

  /** Also called when the pool changed, so that a burst of prewarming does not wait for the timer. */
  tick(): void {
    if (this.stopped) return;
    const nowMs = performance.now();
    const { dispatcher, control } = this.options;
    control.relax();
    dispatcher.sweep(nowMs);
    if (nowMs - this.rotatedMs >= 1000) {
      this.rotatedMs = nowMs;
      for (const fn of dispatcher.functions.values()) fn.latency.rotate();
      this.endUnused(nowMs);
    }
    this.makeNext(nowMs);
  }

  private endUnused(nowMs: number): void {
    const { pool, dispatcher, keepAlive } = this.options;
    const idle = [...pool.workers.values()]
      .filter((worker) => worker.state === 'warm' && worker.idle)
      .map((worker) => ({
        id: worker.id,
        functionName: worker.functionName,
        lastUsedMs: worker.lastUsedMs,
      }));
    for (const id of keepAlive.expired(idle, nowMs)) this.evict(id, 'unused');
    const wanted = new Set(this.stemKinds().map(({ key }) => key));
    const unwanted = pool.stems.find((stem) => !wanted.has(stem.stemKind.key));
    if (unwanted !== undefined) void pool.end(unwanted);
    if (pool.headroomBytes() >= 0) return;
    // Memory is short: the least recently used goes first, then stems; queues stay as they are.
    const victim = keepAlive.victim(idle);
    if (victim !== undefined) this.evict(victim, 'memory pressure');
    else if (pool.stems[0] !== undefined && ![...dispatcher.functions.values()].some((fn) => fn.queued > 0)) {
      this.evict(pool.stems[0].id, 'memory pressure');
    }
  }

  private evict(id: string, why: string): void {
    const worker = this.options.pool.workers.get(id);
    if (worker === undefined || !worker.idle) return;
    this.options.onEvicted(worker.functionName, id, why);
    void this.options.pool.end(worker);
  }

  private makeNext(nowMs: number): void {
    const { pool, dispatcher, prewarm } = this.options;
    if (prewarm === undefined || this.making || nowMs < this.notBeforeMs) return;
    const core = this.growCore();
    const decision = prewarm.next({
      nowMs,
      stems: this.stemKinds().map(({ key }) => ({ key, count: pool.stemCount(key) })),
      mayGrow: core >= 0 && pool.headroomBytes() > 0,
      functions: [...dispatcher.functions.values()].map(describe),
    });
    if (decision === undefined) return;
    this.making = true;
    const work =
      decision.kind === 'stem'
        ? this.makeStem(decision.key, core)
        : this.makeWarm(decision.functionName, core);
    void work
      .catch((thrown: unknown) => {
        const error = asNemoError(thrown);
        this.notBeforeMs = performance.now() + DISPATCH.loadBackoffMs;
        if (error.blame === 'system' && error.code !== 'STOPPING') this.options.onWarning(error.message);
      })
      .finally(() => {
        this.making = false;
        this.tick();
      });
  }

  /** Of the default engine always, so that the first function starts soon; of others while a function uses them. */
  private stemKinds(): StemKind[] {
    const kinds = new Map([[DEFAULT_KIND.key, DEFAULT_KIND]]);
    for (const fn of this.options.dispatcher.functions.values()) {
      const kind = this.options.pool.stemKind(fn.spec);
      kinds.set(kind.key, kind);
    }
    return [...kinds.values()];
  }

  private async makeStem(key: string, core: number): Promise<void> {
    const kind = this.stemKinds().find((one) => one.key === key);
    if (kind !== undefined) await this.options.pool.makeStem(core, kind);
  }

  private async makeWarm(functionName: string, core: number): Promise<void> {
    const { pool, dispatcher } = this.options;
    const fn = dispatcher.functions.get(functionName);
    if (fn === undefined) return;
    const kind = pool.stemKind(fn.spec);
    const worker = pool.takeStem(core, kind) ?? (await pool.make(core, kind));
    try {
      await dispatcher.prewarm(fn, worker);
    } catch (thrown) {
      // The function's own fault: it has its own back-off, others must not wait for it.
      if (asNemoError(thrown).blame === 'system') throw thrown;
    }
  }

  /** The function core with the most predicted spare time on which prewarming is allowed now, or -1. */
  private growCore(): number {
    const board: Board = this.options.control.board;
    let best = -1;
    let most = 0;
    for (const core of this.options.functionCores) {
      if (!LADDER[board.get(core, Core.throttleLevel)]!.prewarm) continue;
      if (board.get(core, Core.budgetRunning) === 0) continue;
      const spare = board.get(core, Core.predictedSpareRatio);
      if (spare >= most) {
        best = core;
        most = spare;
      }
    }
    return best;
  }
}

function describe(fn: FunctionState): PrewarmFunction {
  let warmIdle = 0;
  let busy = 0;
  let loading = 0;
  for (const worker of fn.workers) {
    if (worker.retired) continue;
    if (worker.state === 'loading') loading++;
    else if (worker.state === 'warm' && worker.idle) warmIdle++;
    else if (worker.state === 'warm') busy++;
  }
  return {
    name: fn.spec.name,
    warmIdle,
    busy,
    starting: fn.starting + loading,
    queued: fn.queued,
    lastUsedMs: fn.lastUsedMs,
    notBeforeMs: fn.loadNotBeforeMs,
  };
}
