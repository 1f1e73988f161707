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
import type { KeepAlivePolicy } from './keepalive/ttl.js';
import type { Pool } from './pool.js';
import type { PrewarmFunction, PrewarmPolicy } from './prewarm/policy.js';

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
      stems: pool.stems.length,
      stemsStarting: pool.stemsStarting,
      mayGrow: core >= 0 && pool.headroomBytes() > 0,
      functions: [...dispatcher.functions.values()].map(describe),
    });
    if (decision === undefined) return;
    this.making = true;
    const work = decision.kind === 'stem' ? this.makeStem(core) : this.makeWarm(decision.functionName, core);
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

  private async makeStem(core: number): Promise<void> {
    const { pool } = this.options;
    pool.stemsStarting++;
    try {
      pool.addStem(await pool.make(core));
    } finally {
      pool.stemsStarting--;
    }
  }

  private async makeWarm(functionName: string, core: number): Promise<void> {
    const { pool, dispatcher } = this.options;
    const fn = dispatcher.functions.get(functionName);
    if (fn === undefined) return;
    const worker = pool.takeStem(core) ?? (await pool.make(core));
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
