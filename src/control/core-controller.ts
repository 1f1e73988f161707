/**
 * One function core in the loop: samples its NFs and sandboxes, keeps the core model, asks the conflict policy, and
 * applies what it decides to the sandboxes' cgroups in place. What is decided, and why, is in policy/conflict/decide.
 */

import { type Board, Core } from '../model/board.js';
import { suspectsAt } from '../policy/conflict/attribution.js';
import type { CoreSnapshot, NfSample } from '../policy/conflict/core-snapshot.js';
import {
  type Change,
  type ConflictState,
  conflictState,
  decide,
  isAcquitted,
  isUnmeetable,
  listens,
  observe,
  wantsRates,
} from '../policy/conflict/decide.js';
import { LADDER } from '../policy/conflict/ladder.js';
import { LADDER_RULES } from '../policy/conflict/ladders.js';
import { CoreModel } from '../policy/harvest/core-model.js';
import { isFunctionsShare } from '../policy/harvest/time-share.js';
import { CONTROL } from '../tunables/index.js';
import { CoreOthers } from './core-others.js';
import type { ControlThreadData } from './messages.js';
import type { NfWatch } from './nf-watch.js';
import { anyBusy, hasCall, readFunctionNs, type WatchedSandbox } from './watched-sandbox.js';

export class CoreController {
  readonly model = new CoreModel();
  readonly others = new CoreOthers(this.model);
  readonly sandboxes: WatchedSandbox[] = [];
  nfs: NfWatch[] = [];
  /** One for each of `nfs`. */
  private samples: NfSample[] = [];
  private readonly snapshot: { -readonly [K in keyof CoreSnapshot]: CoreSnapshot[K] };
  private readonly policy: ConflictState;
  private harvestable = true;
  private throttledNs = 0;
  /** Some function is frozen that the level alone would let run. */
  private holding = false;
  /** Policy `static`: this is the NF's part of the period. */
  private outOfShare = false;
  /** Its NF polls, and a gate that works lends the core. */
  private gated = false;

  constructor(
    readonly core: number,
    private readonly board: Board,
    private readonly slots: Int32Array,
    private readonly how: Pick<
      ControlThreadData,
      'conflict' | 'ladder' | 'predict' | 'runningPerCore' | 'shareRatio'
    >,
  ) {
    this.policy = conflictState(LADDER_RULES[how.ladder], 0);
    this.snapshot = {
      ...{ ticks: 0, lateNs: 0, nfs: this.samples, functions: this.sandboxes, functionsRan: false },
      ...{ outOfShare: false, lent: false, nfRatio: 0, othersRatio: 0 },
    };
    this.publishBudget();
  }

  get level(): number {
    return this.policy.ladder.level;
  }

  /** `barred`: no function may run here, whatever the NFs allow. */
  setNfs(nfs: NfWatch[], barred: boolean): void {
    this.nfs = nfs;
    this.samples = nfs.map(({ nf: { id, sloUs } }) => ({
      ...{ id, sloUs, packets: 0, aboveSlo: 0, waitNs: 0, slices: 0 },
      ...{ queueSign: undefined, stoppedByQuota: false },
    }));
    this.snapshot.nfs = this.samples;
    this.harvestable = !barred && nfs.every((watch) => watch.nf.harvest);
    const slos = nfs.map((watch) => watch.nf.sloUs).filter((slo) => slo > 0);
    const sloUs = slos.length === 0 ? 0 : Math.min(...slos);
    this.policy.judges.set(this.samples);
    this.board.set(this.core, Core.sloUs, sloUs);
    this.board.set(this.core, Core.hasNf, nfs.length > 0 ? 1 : 0);
    this.publishDecision();
    this.publishBudget();
  }

  /** One tick; `lateNs`: how late the loop itself woke. Returns what was decided and has been applied. */
  tick(wallNs: number, nowMs: number, lateNs: number): Change | undefined {
    const { snapshot, policy } = this;
    this.followGate(nowMs);
    this.sample(wallNs, nowMs, lateNs);
    observe(snapshot, policy, nowMs);
    const decision = this.decide(nowMs);
    if (this.level > 0) this.throttledNs += wallNs;
    const wasOut = this.outOfShare;
    this.outOfShare = this.nfs.length > 0 && !isFunctionsShare(nowMs, this.how.shareRatio);
    if (decision !== undefined || this.level > 0 || this.holding || this.outOfShare || wasOut) {
      this.apply(nowMs);
    }
    this.publish();
    return decision;
  }

  /** True while looking less often loses nothing: no function runs, or the NFs that could be disturbed ring. */
  get calm(): boolean {
    if (this.level > 0 || this.holding || this.gated) return false;
    if (this.how.shareRatio !== null) return false;
    if (!this.snapshot.functionsRan) return true;
    for (let i = 0; i < this.nfs.length; i++) if (this.nfs[i]!.bell() === undefined) return false;
    return true;
  }

  /** True while a function runs here, with a call or without one. */
  get functionsRun(): boolean {
    return this.snapshot.functionsRan;
  }

  /** True while a late packet would have consequences at once. */
  get listens(): boolean {
    return this.how.conflict && listens(this.snapshot, this.policy);
  }

  /** Between two ticks: NFs of the core may have rung, and their packets were looked at. */
  sampleBetweenTicks(nowMs: number): Change | undefined {
    const { snapshot, policy, nfs, samples } = this;
    let any = false;
    for (let i = 0; i < nfs.length; i++) {
      const nf = nfs[i]!;
      const sample = samples[i]!;
      sample.packets = nf.packets;
      sample.aboveSlo = nf.packets > 0 ? nf.aboveSlo : 0;
      if (nf.packets === 0) continue;
      sample.stoppedByQuota = nf.stoppedByQuota(nowMs);
      any = true;
    }
    if (!any) return undefined;
    snapshot.ticks = 0;
    observe(snapshot, policy, nowMs);
    const decision = this.decide(nowMs);
    if (decision !== undefined) this.apply(nowMs);
    return decision;
  }

  /** See CoreOthers. True if others took the core or left it, which has to be reported. */
  sampleOthers(wallNs: number, busyNs: number): boolean {
    const changed = this.others.sample(wallNs, busyNs, this.nfs, this.sandboxes);
    if (changed) this.publishBudget();
    return changed && this.how.conflict;
  }

  /** Fills the snapshot for a tick, and the core model. */
  private sample(wallNs: number, nowMs: number, lateNs: number): void {
    const { snapshot } = this;
    const ticks = ticksIn(wallNs);
    const functionNs = readFunctionNs(this.sandboxes, this.slots, ticks);
    snapshot.functionsRan = anyBusy(this.sandboxes);
    let nfNs = 0;
    let slices = 0;
    for (let i = 0; i < this.nfs.length; i++) {
      const nf = this.nfs[i]!;
      const sample = this.samples[i]!;
      sample.packets = nf.packets;
      sample.aboveSlo = nf.aboveSlo;
      sample.waitNs = nf.waitDeltaNs;
      sample.slices = nf.slicesDelta;
      sample.queueSign = nf.queueSign;
      sample.stoppedByQuota = sample.sloUs > 0 && nf.stoppedByQuota(nowMs);
      if (snapshot.functionsRan) nf.functionsRan = true;
      // An NF on several cores: its time is taken as spread evenly over them.
      nfNs += nf.runDeltaNs / nf.nf.cores.length;
      slices += nf.slicesDelta;
    }
    this.model.tick(wallNs, nfNs, functionNs, slices, ticks);
    snapshot.ticks = ticks;
    snapshot.lateNs = lateNs;
    snapshot.lent = this.gated;
    snapshot.outOfShare = this.outOfShare;
    snapshot.nfRatio = this.model.nfRatio();
    snapshot.othersRatio = this.others.ratio;
  }

  /** Undefined: all stays as it is. */
  private decide(nowMs: number): Change | undefined {
    const { snapshot, policy } = this;
    if (!this.how.conflict) return undefined;
    // Counters are read only now, and only if there are several functions to choose from.
    if (wantsRates(snapshot, policy, nowMs)) {
      for (const i of suspectsAt(this.sandboxes, nowMs)) this.sandboxes[i]!.counters.sample(nowMs);
    }
    const decision = decide(snapshot, policy, nowMs);
    if (decision.kind === 'keep') return undefined;
    this.publishBudget();
    return decision;
  }

  /** A core that polls is harvested by its gate or not at all. */
  private followGate(nowMs: number): void {
    const gated = this.board.get(this.core, Core.gated) === 1;
    if (gated === this.gated) return;
    this.gated = gated;
    this.publishBudget();
    this.apply(nowMs);
  }

  /** Share of the core that the gate offers to functions. */
  private offeredRatio(): number {
    const periodUs = this.board.get(this.core, Core.gatePeriodUs);
    return periodUs === 0 ? 0 : this.board.get(this.core, Core.gateSliceUs) / periodUs;
  }

  /** Off the loop's ticks, some times a second: what the counters of a conflict to come are compared with. */
  markCounters(nowMs: number): void {
    for (const sandbox of this.sandboxes) if (sandbox.busy) sandbox.counters.mark(nowMs);
  }

  /** Throttles in place: freezing only what runs, so that idle sandboxes stay cheap. Writes nothing if unchanged. */
  apply(nowMs: number): void {
    const level = LADDER[this.level]!;
    const paused = this.policy.pausedUntilMs > nowMs;
    this.holding = paused;
    const out = level.frozen || this.outOfShare || paused;
    for (let i = 0; i < this.sandboxes.length; i++) {
      const sandbox = this.sandboxes[i]!;
      const { throttle, heldUntilMs } = sandbox;
      const busy = hasCall(sandbox, this.slots) || sandbox.restless;
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
    const factor = LADDER[this.level]!.runningFactor;
    const budget = factor === 0 ? 0 : Math.ceil(this.how.runningPerCore * factor);
    // A core that polls is harvested by its gate or not at all.
    const taken = this.others.taken && this.how.conflict;
    const harvestable =
      this.harvestable && !taken && (this.gated || this.nfs.every(({ nf }) => nf.gate !== true));
    this.board.set(this.core, Core.taken, taken ? 1 : 0);
    this.board.set(this.core, Core.harvestable, harvestable ? 1 : 0);
    this.board.set(this.core, Core.budgetRunning, harvestable ? budget : 0);
    this.board.set(this.core, Core.throttleLevel, this.level);
    this.board.set(this.core, Core.conflicts, this.policy.conflicts);
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
    // What others will leave in the next hundredth of a second is not known: they are assumed to go on.
    const predicted = this.how.predict ? Math.max(0, model.predictedSpareRatio() - othersRatio) : spareRatio;
    // What a polling NF leaves can be measured only while a function takes it.
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
    board.set(core, Core.hostStalls, this.policy.hostStalls);
    this.publishDecision();
  }

  private publishDecision(): void {
    const { board, core, policy, how } = this;
    board.set(core, Core.unmeetable, how.conflict && isUnmeetable(policy) ? 1 : 0);
    board.set(core, Core.acquitted, how.conflict && isAcquitted(policy) ? 1 : 0);
  }
}

/** Windows count in ticks of a millisecond: a look after the calm period stands for two of them. */
function ticksIn(wallNs: number): number {
  const ticks = Math.round(wallNs / (CONTROL.periodUs * 1000));
  return ticks * CONTROL.periodUs === CONTROL.calmPeriodUs ? ticks : 1;
}
