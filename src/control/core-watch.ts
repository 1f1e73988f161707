/**
 * One function core in the loop: reads its sandboxes' CPU time, keeps the core model, lets the detector judge and
 * the ladder decide, and applies the level to the sandboxes' cgroups in place.
 */

import { type Accusation, blame, findCulprit, hostStalled, suspectsAt } from '../conflict/culprit.js';
import type { Verdict } from '../conflict/detect.js';
import { FROZEN, initialState, LADDER, OFF, release, step } from '../conflict/ladder.js';
import { CoreModel } from '../harvest/core-model.js';
import { functionsTurn } from '../harvest/time-share.js';
import { CONFLICT, CONTROL } from '../tunables.js';
import { type Board, Core } from './board.js';
import { CoreJudges } from './core-judges.js';
import { CoreOthers } from './core-others.js';
import { type ControlThreadData, Slot } from './messages.js';
import type { NfWatch } from './nf-watch.js';
import type { WatchedSandbox } from './watched-sandbox.js';

export interface LevelChange {
  from: number;
  to: number;
  cause: string;
  /** Slot of the one function that was frozen instead of the core's level being changed, and for how long. */
  culprit?: { slot: number; holdMs: number };
  /** Slots of the sandboxes that ran when packets were late and the core was throttled. */
  ran?: readonly number[];
}

/** What decays of the CPU time used lately, each tick: about 20 ms of memory, longer than counters lag. */
const RECENT_DECAY = 0.95;

export class CoreWatch {
  readonly model = new CoreModel();
  readonly others = new CoreOthers(this.model);
  readonly sandboxes: WatchedSandbox[] = [];
  nfs: NfWatch[] = [];
  private readonly judges = new CoreJudges();
  private readonly state = initialState(0);
  private readonly seen = {
    functionsRan: false,
    mayRun: false,
    offCore: false,
    excused: false,
    lent: false,
    nowMs: 0,
  };
  private harvestable = true;
  private queueSign: string | undefined;
  private throttledNs = 0;
  private conflicts = 0;
  private excusedMs = Number.NEGATIVE_INFINITY;
  /** A culprit is, or was until just now, frozen. */
  private holding = false;
  /** All functions pause until then; 0: they do not. */
  private pausedUntilMs = 0;
  /** When the NF last left something of the core. */
  private spareMs = 0;
  /** Policy `static`: this is the NF's part of the period. */
  private outOfTurn = false;
  /** Its NF polls, and a gate that works lends the core. */
  private gated = false;
  /** Late packets that the host is to blame for. */
  private hostStalls = 0;

  constructor(
    readonly core: number,
    private readonly board: Board,
    private readonly slots: Int32Array,
    private readonly how: Pick<ControlThreadData, 'conflict' | 'predict' | 'runningPerCore' | 'shareRatio'>,
  ) {
    this.publishBudget();
  }

  get level(): number {
    return this.state.level;
  }

  /** `barred`: no function may run here, whatever the NFs allow. */
  setNfs(nfs: NfWatch[], barred: boolean): void {
    this.nfs = nfs;
    this.harvestable = !barred && nfs.every((watch) => watch.nf.harvest);
    const slos = nfs.map((watch) => watch.nf.sloUs).filter((slo) => slo > 0);
    const sloUs = slos.length === 0 ? 0 : Math.min(...slos);
    this.judges.set(nfs);
    this.board.set(this.core, Core.unmeetable, 0);
    this.board.set(this.core, Core.acquitted, 0);
    this.board.set(this.core, Core.sloUs, sloUs);
    this.board.set(this.core, Core.hasNf, nfs.length > 0 ? 1 : 0);
    this.publishBudget();
  }

  /** One tick; `lateNs`: how late the loop itself woke. Returns what was throttled or given back, if anything. */
  tick(wallNs: number, nowMs: number, lateNs: number): LevelChange | undefined {
    const { seen } = this;
    let nfNs = 0;
    let slices = 0;
    let late = false;
    for (let i = 0; i < this.nfs.length; i++) {
      const nf = this.nfs[i]!;
      // An NF on several cores: its time is taken as spread evenly over them.
      const share = 1 / nf.nf.cores.length;
      nfNs += nf.runDeltaNs * share;
      slices += nf.slicesDelta;
      if (nf.aboveSlo > 0) late = true;
    }
    this.followGate(nowMs);
    seen.nowMs = nowMs;
    // It waits for the core because the gate lends it: no sign.
    seen.lent = this.gated;
    seen.excused = late && hostStalled(lateNs, nowMs, this.excusedMs);
    if (seen.excused) {
      this.excusedMs = nowMs;
      this.hostStalls++;
    }
    const ticks = ticksIn(wallNs);
    const functionNs = this.readSandboxes(ticks);
    this.readQueues(seen.functionsRan);
    this.model.tick(wallNs, nfNs, functionNs, slices, ticks);
    const someoneWaits = seen.functionsRan || this.state.level === OFF;
    if (!someoneWaits || this.gated || this.others.leaveSome(this.state.level === OFF)) this.spareMs = nowMs;

    let change: LevelChange | undefined;
    if (this.judges.any) {
      const { frozen, offCore } = LADDER[this.state.level]!;
      seen.mayRun = !frozen && !offCore && !this.outOfTurn && this.pausedUntilMs === 0;
      seen.offCore = offCore;
      this.judges.observe(ticks, seen);
      if (this.how.conflict) change = this.decide(nowMs);
    } else change = this.letGo(nowMs);
    if (this.state.level > 0) this.throttledNs += wallNs;
    const wasOut = this.outOfTurn;
    this.outOfTurn = this.nfs.length > 0 && !functionsTurn(nowMs, this.how.shareRatio);
    const held = this.holding || this.pausedUntilMs > 0;
    if (change !== undefined || this.state.level > 0 || held || this.outOfTurn || wasOut) {
      this.apply(nowMs);
    }
    this.publish();
    return change;
  }

  /** True while nothing is lost by looking less often: nobody runs, or whoever might be hurt rings. */
  get calm(): boolean {
    if (this.state.level > 0 || this.holding || this.pausedUntilMs > 0 || this.gated) return false;
    if (this.how.shareRatio !== null) return false;
    if (!this.seen.functionsRan) return true;
    for (let i = 0; i < this.nfs.length; i++) if (this.nfs[i]!.bell() === undefined) return false;
    return true;
  }

  /** True while a function runs here, with a call or without one. */
  get functionsRun(): boolean {
    return this.seen.functionsRan;
  }

  /** True while a late packet would have consequences at once: functions run, and there is a level to go down. */
  get listens(): boolean {
    const acquitted = this.board.get(this.core, Core.acquitted) === 1;
    return this.how.conflict && this.seen.functionsRan && this.state.level < FROZEN && !acquitted;
  }

  /** Between two ticks: `nf` rang, and its packets were looked at. */
  look(nf: NfWatch, nowMs: number): LevelChange | undefined {
    if (!this.judges.any || nf.packets === 0) return undefined;
    // Of a stall the tick hears first, being due all the while; the packets that it held up follow.
    const stalled = nowMs - this.excusedMs < CONTROL.periodUs / 1000 || nf.stoppedByQuota(nowMs);
    this.judges.amend(nf, nf.packets, stalled ? 0 : nf.aboveSlo);
    if (stalled || nf.aboveSlo === 0 || !this.listens) return undefined;
    const change = this.decide(nowMs);
    if (change !== undefined) this.apply(nowMs);
    return change;
  }

  /** See CoreOthers. True if somebody has to hear that others took the core, or left it. */
  lookAtOthers(wallNs: number, busyNs: number): boolean {
    const changed = this.others.lookAt(wallNs, busyNs, this.nfs, this.sandboxes);
    if (changed) this.publishBudget();
    return changed && this.how.conflict;
  }

  private readQueues(functionsRan: boolean): void {
    this.queueSign = undefined;
    for (let i = 0; i < this.nfs.length; i++) {
      const nf = this.nfs[i]!;
      this.queueSign = nf.queueSign ?? this.queueSign;
      if (functionsRan) nf.functionsRan = true;
    }
  }

  /** A core that polls is harvested by its gate or not at all. */
  private followGate(nowMs: number): void {
    const gated = this.board.get(this.core, Core.gated) === 1;
    if (gated === this.gated) return;
    this.gated = gated;
    this.publishBudget();
    this.apply(nowMs);
  }

  /** Share of the core that the gate offers to whoever wants it. */
  private offeredRatio(): number {
    const periodUs = this.board.get(this.core, Core.gatePeriodUs);
    return periodUs === 0 ? 0 : this.board.get(this.core, Core.gateSliceUs) / periodUs;
  }

  private readSandboxes(ticks: number): number {
    let functionNs = 0;
    this.seen.functionsRan = false;
    for (let i = 0; i < this.sandboxes.length; i++) {
      const sandbox = this.sandboxes[i]!;
      const hasCall = this.hasCall(sandbox);
      const busy = hasCall || sandbox.restless;
      if (busy) this.seen.functionsRan = true;
      sandbox.busy = busy;
      sandbox.recentNs *= RECENT_DECAY ** ticks;
      if (busy || sandbox.wasBusy) {
        const cpuNs = sandbox.throttle.readCpuNs();
        if (cpuNs > sandbox.cpuNs) {
          functionNs += cpuNs - sandbox.cpuNs;
          sandbox.recentNs += cpuNs - sandbox.cpuNs;
          if (!hasCall) sandbox.idleNs += cpuNs - sandbox.cpuNs;
        }
        sandbox.cpuNs = cpuNs;
        sandbox.wasBusy = busy;
      }
    }
    return functionNs;
  }

  private hasCall({ slot }: WatchedSandbox): boolean {
    return Atomics.load(this.slots, slot) === Slot.busy;
  }

  private decide(nowMs: number): LevelChange | undefined {
    const { judges } = this;
    const from = this.state.level;
    judges.judge();
    const { unmeetable } = judges;
    // Off the core and still too slow: they stay off until the NF alone is well again.
    const alone = from === OFF && judges.sloBroken;
    this.board.set(this.core, Core.unmeetable, unmeetable && from === OFF ? 1 : 0);
    const acquitted = !unmeetable && judges.acquitted;
    this.board.set(this.core, Core.acquitted, acquitted ? 1 : 0);
    // What was accepted has to finish, elsewhere if need be.
    const starved = nowMs - this.spareMs > CONFLICT.frozenMaxMs;
    if (acquitted && !starved) {
      if (from === 0) return undefined;
      release(this.state, nowMs);
      judges.reset();
      this.publishBudget();
      return { from, to: 0, cause: 'packets are as late without functions' };
    }
    const verdict = alone || starved ? 'severe' : judges.verdict;
    if (from < FROZEN && !starved && (verdict === 'broken' || verdict === 'severe')) {
      const culprit = this.findCulprit(nowMs);
      if (culprit !== undefined) {
        // The others go on; if that was not enough, the next packets above the SLO throttle the core.
        const sandbox = this.sandboxes[culprit.index]!;
        const holdMs = blame(sandbox, nowMs);
        this.holding = true;
        this.conflicts++;
        this.board.set(this.core, Core.conflicts, this.conflicts);
        const cause = `${judges.cause()}: ${culprit.why}: frozen for ${holdMs.toFixed(0)} ms`;
        judges.reset();
        return { from, to: from, cause, culprit: { slot: sandbox.slot, holdMs } };
      }
    }
    const to = step(this.state, verdict, nowMs, judges.paceMs);
    if (to === from) return undefined;
    const cause = to < from ? 'calm' : this.causeOf(verdict, starved);
    if (to > from) {
      if (verdict !== 'leading') this.conflicts++;
      // A quota stops nobody who has not used it up yet.
      if (verdict !== 'leading') this.pausedUntilMs = nowMs + CONFLICT.pauseMs;
    }
    // The packets that led here are answered for; only new ones may take the next level, or show how it is at this one.
    // What led to a leading sign were none.
    if (to > from && verdict === 'leading') judges.resetShort();
    else if (to > from || from >= FROZEN) judges.reset();
    this.publishBudget();
    if (to < from || verdict === 'leading') return { from, to, cause };
    const ran = suspectsAt(this.sandboxes, nowMs).map((i) => this.sandboxes[i]!.slot);
    return { from, to, cause, ran };
  }

  /** Why the core is throttled. */
  private causeOf(verdict: Verdict, starved: boolean): string {
    if (starved) return this.others.leaveNothing;
    if (verdict === 'leading') return this.queueSign ?? 'NF threads wait for their core';
    // No new sign: the calls that are frozen have to end, elsewhere if need be.
    return verdict === 'calm' ? 'functions were frozen for too long' : this.judges.cause();
  }

  /** Nobody is left whose packets could be late: it ended, moved to another core, or lost its SLO while throttled. */
  private letGo(nowMs: number): LevelChange | undefined {
    const from = this.state.level;
    if (from === 0) return undefined;
    release(this.state, nowMs);
    this.publishBudget();
    return { from, to: 0, cause: 'no NF with an SLO is on this core any more' };
  }

  /** Only now counters are read, and only if there is somebody to choose between. */
  private findCulprit(nowMs: number): Accusation | undefined {
    const { sandboxes } = this;
    const running = suspectsAt(sandboxes, nowMs);
    if (running.length < 2) return undefined;
    for (const i of running) sandboxes[i]!.counters.look(nowMs);
    return findCulprit(sandboxes, nowMs);
  }

  /** Off the loop's ticks, some times a second: what the counters of a conflict to come are compared with. */
  markCounters(nowMs: number): void {
    for (const sandbox of this.sandboxes) if (sandbox.busy) sandbox.counters.mark(nowMs);
  }

  /** Throttles in place: freezing only what runs, so that idle sandboxes stay cheap. Writes nothing if unchanged. */
  apply(nowMs: number): void {
    const level = LADDER[this.state.level]!;
    this.holding = false;
    if (this.pausedUntilMs <= nowMs) this.pausedUntilMs = 0;
    const out = level.frozen || this.outOfTurn || this.pausedUntilMs > 0;
    for (let i = 0; i < this.sandboxes.length; i++) {
      const sandbox = this.sandboxes[i]!;
      const { throttle, heldUntilMs } = sandbox;
      const busy = this.hasCall(sandbox) || sandbox.restless;
      const held = heldUntilMs > nowMs;
      if (held) this.holding = true;
      if ((out && busy) || held) throttle.freeze();
      else throttle.thaw();
      // Quotas do not bind a thread that runs on a loan: there the gate shortens its slices.
      throttle.setLeashed(this.gated);
      throttle.setQuotaRatio(level.quotaRatio);
    }
  }

  private publishBudget(): void {
    const factor = LADDER[this.state.level]!.runningFactor;
    const budget = factor === 0 ? 0 : Math.ceil(this.how.runningPerCore * factor);
    // A core that polls is harvested by its gate or not at all.
    const taken = this.others.taken && this.how.conflict;
    const harvestable =
      this.harvestable && !taken && (this.gated || this.nfs.every(({ nf }) => nf.gate !== true));
    this.board.set(this.core, Core.taken, taken ? 1 : 0);
    this.board.set(this.core, Core.harvestable, harvestable ? 1 : 0);
    this.board.set(this.core, Core.budgetRunning, harvestable ? budget : 0);
    this.board.set(this.core, Core.throttleLevel, this.state.level);
    this.board.set(this.core, Core.conflicts, this.conflicts);
  }

  private publish(): void {
    const { board, core, model } = this;
    const nfRatio = model.nfRatio();
    const functionRatio = model.functionRatio();
    board.set(core, Core.nfRatio, nfRatio);
    board.set(core, Core.functionRatio, functionRatio);
    const othersRatio = this.others.ratio;
    const spareRatio = Math.max(0, 1 - nfRatio - othersRatio);
    board.set(core, Core.othersRatio, othersRatio);
    board.set(core, Core.othersNs, this.others.totalNs);
    board.set(core, Core.spareRatio, spareRatio);
    // What others leave is not known for the next hundredth of a second: they are taken to go on.
    const predicted = this.how.predict ? Math.max(0, model.predictedSpareRatio() - othersRatio) : spareRatio;
    // What a polling NF leaves shows only while somebody takes it.
    board.set(
      core,
      Core.predictedSpareRatio,
      this.gated ? Math.max(predicted, this.offeredRatio()) : predicted,
    );
    board.set(core, Core.wallNs, model.totalWallNs);
    board.set(core, Core.nfNs, model.totalNfNs);
    board.set(core, Core.functionNs, model.totalFunctionNs);
    board.set(core, Core.spareNs, model.totalSpareNs);
    board.set(core, Core.harvestedNs, model.totalHarvestedNs);
    board.set(core, Core.throttledNs, this.throttledNs);
    board.set(core, Core.hostStalls, this.hostStalls);
  }
}

/** Windows count in ticks of a millisecond: a look after the calm period stands for two of them. */
function ticksIn(wallNs: number): number {
  const ticks = Math.round(wallNs / (CONTROL.periodUs * 1000));
  return ticks * CONTROL.periodUs === CONTROL.calmPeriodUs ? ticks : 1;
}
