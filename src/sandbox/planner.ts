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
import type { Worker } from '../invoke/worker.js';
import { DISPATCH, POOL } from '../tunables.js';
import { ENGINE_DEFAULT } from './engines/builtin.js';
import { type StemKind, stemKind } from './engines/engines.js';
import type { IdleSandbox, KeepAlivePolicy } from './keepalive/policy.js';
import { LockWatch, tooManyLocks } from './lock-watch.js';
import type { Pool } from './pool.js';
import { nextToMake, type PrewarmFunction } from './prewarm/next.js';
import type { PrewarmPolicy, StemDemand } from './prewarm/policy.js';
import { RecentTimes } from './recent-times.js';
import type { WantedZygote, ZygoteKind } from './zygotes.js';

const DEFAULT_KIND = stemKind(ENGINE_DEFAULT);
const NEVER = new RecentTimes();

export interface PlannerOptions {
  control: SandboxSlots;
  pool: Pool;
  dispatcher: Dispatcher;
  functionCores: readonly number[];
  prewarm: PrewarmPolicy;
  keepAlive: KeepAlivePolicy;
  onEvicted: (functionName: string, sandboxId: string, why: string) => void;
  onWarning: (message: string) => void;
  /** Something that an operator may want to know and need not act upon. */
  onNote?: (message: string) => void;
}

export class Planner {
  private timer: NodeJS.Timeout | undefined;
  private making = false;
  private freeing = false;
  private rotatedMs = performance.now();
  private stopped = false;
  private notBeforeMs = 0;
  private readonly locks = new LockWatch<Worker>();

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
      this.relieve();
      void this.endLockHolders();
    }
    this.endUnused(nowMs);
    this.makeNext(nowMs);
  }

  private endUnused(nowMs: number): void {
    const { pool, dispatcher, keepAlive, prewarm } = this.options;
    for (const fn of dispatcher.functions.values()) {
      const live = fn.workers.filter((worker) => worker.state === 'warm' && !worker.retired);
      let spare = live.length - prewarm.warm(fn.usage, nowMs).sandboxes;
      if (spare <= 0) continue;
      // The least recently used first, so that those that stay are the hottest.
      for (const worker of live.filter((one) => one.idle).sort((a, b) => a.lastUsedMs - b.lastUsedMs)) {
        if (spare > 0 && keepAlive.expiresMs(entry(worker, fn), nowMs) <= nowMs) {
          this.evict(worker, 'unused');
          spare--;
        }
      }
    }
    const wanted = new Map(
      this.stemDemands(nowMs).map((demand) => [demand.key, demand.wanted ?? prewarm.stems(demand, nowMs)]),
    );
    const surplus = pool.stems.find(({ stemKind: { key } }) => pool.stemCount(key) > (wanted.get(key) ?? 0));
    if (surplus !== undefined) void pool.end(surplus);
  }

  /** Memory is short: one at a time, since the kernel needs a moment to give back what it had. */
  private relieve(): void {
    if (this.options.pool.lackingBytes(0) > 0 && !this.freeing) {
      this.freeing = true;
      void this.endVictim().finally(() => {
        this.freeing = false;
      });
    }
  }

  private async endLockHolders(): Promise<void> {
    const { pool, onEvicted, onWarning } = this.options;
    try {
      for (const { sandbox } of await this.locks.above(pool.workers.values())) {
        onEvicted(sandbox.functionName, sandbox.id, 'it held too many locks on files');
        void pool.end(sandbox, tooManyLocks(sandbox.functionName));
      }
    } catch (thrown) {
      onWarning(`locks on files cannot be counted: ${asNemoError(thrown).message}`);
    }
  }

  /** Ends idle sandboxes until one of so many bytes can be made, as far as there are any. */
  async makeRoom(bytes: number, kind?: StemKind): Promise<void> {
    while (this.options.pool.lackingBytes(bytes, kind) > 0 && (await this.endVictim()));
  }

  /** The idle sandbox of the lowest priority, or else a stem. False: there is none. */
  private async endVictim(): Promise<boolean> {
    const { pool, dispatcher, keepAlive } = this.options;
    let victim: Worker | undefined;
    let lowest = Number.POSITIVE_INFINITY;
    for (const fn of dispatcher.functions.values()) {
      for (const worker of fn.workers) {
        if (worker.state !== 'warm' || !worker.idle) continue;
        const priority = keepAlive.priority(entry(worker, fn));
        if (victim !== undefined && priority >= lowest) continue;
        victim = worker;
        lowest = priority;
      }
    }
    if (victim !== undefined) pool.clock = Math.max(pool.clock, lowest);
    victim ??= pool.stems[0];
    if (victim === undefined) return false;
    await this.evict(victim, 'memory pressure');
    return true;
  }

  private evict(worker: Worker, why: string): Promise<void> {
    this.options.onEvicted(worker.functionName, worker.id, why);
    return this.options.pool.end(worker);
  }

  private makeNext(nowMs: number): void {
    const { pool, dispatcher, prewarm } = this.options;
    if (this.making || nowMs < this.notBeforeMs) return;
    const core = this.growCore();
    const decision = nextToMake(prewarm, {
      nowMs,
      stems: this.stemDemands(nowMs),
      mayGrow: core >= 0 && pool.lackingBytes(POOL.memoryMaxDefaultBytes) <= 0,
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
        if (error.blame === 'system' && error.code !== 'STOPPING')
          this.options.onWarning(error.ownersMessage);
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

  private stemDemands(nowMs: number): Array<StemDemand & { count: number; wanted?: number }> {
    const { pool } = this.options;
    return [
      ...this.plainDemands(),
      ...this.zygotes(nowMs).map(({ kind: { key }, wanted }) => ({
        ...{ key, wanted, count: pool.stemCount(key), functions: 1, asked: NEVER },
      })),
    ];
  }

  private zygotes(nowMs: number): readonly WantedZygote[] {
    const { pool, dispatcher, prewarm } = this.options;
    return pool.zygotes.wanted(dispatcher.functions.values(), prewarm, nowMs);
  }

  private plainDemands(): Array<StemDemand & { count: number }> {
    const { pool, dispatcher } = this.options;
    const functions = new Map<string, number>();
    for (const fn of dispatcher.functions.values()) {
      const { key } = pool.stemKind(fn.spec);
      functions.set(key, (functions.get(key) ?? 0) + 1);
    }
    return this.stemKinds().map(({ key }) => ({
      key,
      count: pool.stemCount(key),
      functions: functions.get(key) ?? 0,
      asked: pool.asked.get(key) ?? NEVER,
    }));
  }

  private async makeStem(key: string, core: number): Promise<void> {
    const kind = this.stemKinds().find((one) => one.key === key);
    if (kind !== undefined) return this.options.pool.makeStem(core, kind);
    const zygote = this.zygotes(performance.now()).find((one) => one.kind.key === key)?.kind;
    if (zygote !== undefined) await this.makeZygote(core, zygote);
  }

  /** Whatever packages do to their stem is no reason to make nothing else. */
  private async makeZygote(core: number, kind: ZygoteKind): Promise<void> {
    const { pool, onNote } = this.options;
    try {
      await pool.makeStem(core, kind);
    } catch (thrown) {
      const error = asNemoError(thrown);
      if (error.code === 'NO_CAPACITY' || error.code === 'STOPPING') throw error;
      if (error.code !== 'FUNCTION_LOAD') pool.zygotes.failed(kind, performance.now());
      const names = kind.packages.map(({ name }) => name).join(', ');
      onNote?.(`no stem imports ${names} ahead of calls: ${error.ownersMessage}`);
    }
  }

  private async makeWarm(functionName: string, core: number): Promise<void> {
    const { pool, dispatcher } = this.options;
    const fn = dispatcher.functions.get(functionName);
    if (fn === undefined) return;
    const { spec } = fn;
    const stem = await pool.takeStemFor(spec, core);
    const worker = stem ?? (await pool.make(core, pool.stemKind(spec), spec.memoryBytes, false, spec));
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

function entry({ lastUsedMs, memoryBytes, clockAtUse }: Worker, { usage }: FunctionState): IdleSandbox {
  return { lastUsedMs, memoryBytes, clockAtUse, usage };
}

function describe(fn: FunctionState): PrewarmFunction {
  let sandboxes = fn.starting;
  for (const { retired, state } of fn.workers) {
    if (!retired && (state === 'loading' || state === 'warm')) sandboxes++;
  }
  return {
    name: fn.spec.name,
    sandboxes,
    lastUsedMs: fn.lastUsedMs,
    notBeforeMs: fn.loadNotBeforeMs,
    usage: fn.usage,
  };
}
