/**
 * One function core in the loop: reads its sandboxes' CPU time, keeps the core model, lets the detector judge and
 * the ladder decide, and applies the level to the sandboxes' cgroups in place.
 */

import {
  type Accusation,
  blame,
  findCulprit,
  hostStalled,
  isSuspect,
  type Suspect,
  soleSuspect,
} from '../conflict/culprit.js';
import { ConflictDetector, type TickSigns } from '../conflict/detect.js';
import { Evidence } from '../conflict/evidence.js';
import { FROZEN, initialState, LADDER, OFF, release, step } from '../conflict/ladder.js';
import { CoreModel } from '../harvest/core-model.js';
import { functionsTurn } from '../harvest/time-share.js';
import type { CgroupThrottle } from '../linux/cgroup/throttle.js';
import { CONFLICT, CONTROL } from '../tunables.js';
import { type Board, Core } from './board.js';
import { type ControlThreadData, Slot } from './messages.js';
import type { NfWatch } from './nf-watch.js';
import type { CounterRates } from './rates.js';

export interface WatchedSandbox extends Suspect {
  slot: number;
  throttle: CgroupThrottle;
  counters: CounterRates;
  cpuNs: number;
  wasBusy: boolean;
}

export interface LevelChange {
  from: number;
  to: number;
  cause: string;
  /** Slot of the one function that was frozen instead of the core's level being changed, and for how long. */
  culprit?: { slot: number; holdMs: number };
  /** Slot of the function for which the core was throttled, as no other ran there. */
  soleSlot?: number;
}

/** What decays of the CPU time used lately, each tick: about 20 ms of memory, longer than counters lag. */
const RECENT_DECAY = 0.95;

export class CoreWatch {
  readonly model = new CoreModel();
  readonly sandboxes: WatchedSandbox[] = [];
  nfs: NfWatch[] = [];
  private detector: ConflictDetector | undefined;
  private evidence = new Evidence();
  private readonly state = initialState(0);
  private readonly signs: TickSigns = {
    packets: 0,
    aboveSlo: 0,
    runqueueWaitNs: 0,
    slices: 0,
    queueSign: false,
    functionsRan: false,
  };
  private sloUs = 0;
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
    if (sloUs !== this.sloUs || (this.detector === undefined && sloUs > 0)) {
      this.sloUs = sloUs;
      this.detector = sloUs > 0 ? new ConflictDetector(sloUs) : undefined;
      this.evidence = new Evidence();
      this.board.set(this.core, Core.unmeetable, 0);
      this.board.set(this.core, Core.acquitted, 0);
    }
    this.board.set(this.core, Core.sloUs, sloUs);
    this.board.set(this.core, Core.hasNf, nfs.length > 0 ? 1 : 0);
    this.publishBudget();
  }

  /** One tick; `lateNs`: how late the loop itself woke. Returns what was throttled or given back, if anything. */
  tick(wallNs: number, nowMs: number, lateNs: number): LevelChange | undefined {
    let nfNs = 0;
    const signs = this.signs;
    signs.packets = 0;
    signs.aboveSlo = 0;
    signs.runqueueWaitNs = 0;
    signs.slices = 0;
    for (let i = 0; i < this.nfs.length; i++) {
      const nf = this.nfs[i]!;
      // An NF on several cores: its time is taken as spread evenly over them.
      const share = 1 / nf.nf.cores.length;
      nfNs += nf.runDeltaNs * share;
      signs.packets += nf.packets;
      signs.aboveSlo += nf.aboveSlo;
      signs.runqueueWaitNs += nf.waitDeltaNs;
      signs.slices += nf.slicesDelta;
    }
    this.followGate(nowMs);
    // It waits for the core because the gate lends it: no sign.
    if (this.gated) signs.runqueueWaitNs = 0;
    if (signs.aboveSlo > 0 && hostStalled(lateNs, nowMs, this.excusedMs)) {
      this.excusedMs = nowMs;
      this.hostStalls++;
      signs.aboveSlo = 0;
      signs.runqueueWaitNs = 0;
    }
    const ticks = ticksIn(wallNs);
    const functionNs = this.readSandboxes(signs, ticks);
    signs.queueSign = this.readQueues(signs.functionsRan);
    this.model.tick(wallNs, nfNs, functionNs, signs.slices, ticks);
    const someoneWaits = signs.functionsRan || this.state.level === OFF;
    if (!someoneWaits || this.gated || this.model.nfRatio() < CONFLICT.saturatedRatio) this.spareMs = nowMs;

    let change: LevelChange | undefined;
    if (this.detector !== undefined) {
      const { frozen, offCore } = LADDER[this.state.level]!;
      const mayRun = !frozen && !offCore && !this.outOfTurn && this.pausedUntilMs === 0;
      for (let i = 0; i < ticks; i++) {
        this.detector.observe(signs);
        this.evidence.observe(signs.packets, signs.aboveSlo, mayRun && signs.functionsRan);
        signs.packets = 0;
        signs.aboveSlo = 0;
      }
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
    if (!this.signs.functionsRan) return true;
    for (let i = 0; i < this.nfs.length; i++) if (this.nfs[i]!.bell() === undefined) return false;
    return true;
  }

  /** True while a late packet would have consequences at once: functions run, and there is a level to go down. */
  get listens(): boolean {
    const acquitted = this.board.get(this.core, Core.acquitted) === 1;
    return this.how.conflict && this.signs.functionsRan && this.state.level < FROZEN && !acquitted;
  }

  /** Between two ticks: `nf` rang, and its packets were looked at. */
  look(nf: NfWatch, nowMs: number): LevelChange | undefined {
    const { detector } = this;
    if (detector === undefined || nf.packets === 0) return undefined;
    // Of a stall the tick hears first, being due all the while; the packets that it held up follow.
    const stalled = nowMs - this.excusedMs < CONTROL.periodUs / 1000;
    const aboveSlo = stalled ? 0 : nf.aboveSlo;
    detector.amend(nf.packets, aboveSlo);
    this.evidence.amend(nf.packets, aboveSlo);
    if (stalled || nf.aboveSlo === 0 || !this.listens) return undefined;
    const change = this.decide(nowMs);
    if (change !== undefined) this.apply(nowMs);
    return change;
  }

  private readQueues(functionsRan: boolean): boolean {
    this.queueSign = undefined;
    for (let i = 0; i < this.nfs.length; i++) {
      const nf = this.nfs[i]!;
      this.queueSign = nf.queueSign ?? this.queueSign;
      if (functionsRan) nf.functionsRan = true;
    }
    return this.queueSign !== undefined;
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

  private readSandboxes(signs: TickSigns, ticks: number): number {
    let functionNs = 0;
    signs.functionsRan = false;
    for (let i = 0; i < this.sandboxes.length; i++) {
      const sandbox = this.sandboxes[i]!;
      const busy = Atomics.load(this.slots, sandbox.slot) === Slot.busy;
      if (busy) signs.functionsRan = true;
      sandbox.busy = busy;
      sandbox.recentNs *= RECENT_DECAY ** ticks;
      if (busy || sandbox.wasBusy) {
        const cpuNs = sandbox.throttle.readCpuNs();
        if (cpuNs > sandbox.cpuNs) {
          functionNs += cpuNs - sandbox.cpuNs;
          sandbox.recentNs += cpuNs - sandbox.cpuNs;
        }
        sandbox.cpuNs = cpuNs;
        sandbox.wasBusy = busy;
      }
    }
    return functionNs;
  }

  private decide(nowMs: number): LevelChange | undefined {
    const detector = this.detector!;
    const from = this.state.level;
    // Off the core and still too slow: they stay off until the NF alone is well again.
    const alone = from === OFF && detector.sloBroken();
    const unmeetable = this.evidence.unmeetable();
    this.board.set(this.core, Core.unmeetable, unmeetable && from === OFF ? 1 : 0);
    const acquitted = !unmeetable && this.evidence.acquits();
    this.board.set(this.core, Core.acquitted, acquitted ? 1 : 0);
    // What was accepted has to finish, elsewhere if need be.
    const starved = nowMs - this.spareMs > CONFLICT.frozenMaxMs;
    if (acquitted && !starved) {
      if (from === 0) return undefined;
      release(this.state, nowMs);
      detector.reset();
      this.publishBudget();
      return { from, to: 0, cause: 'packets are as late without functions' };
    }
    const verdict = alone || starved ? 'severe' : detector.judge();
    const aboveShare = detector.aboveShare();
    if (from < FROZEN && !starved && (verdict === 'broken' || verdict === 'severe')) {
      const culprit = this.findCulprit(nowMs);
      if (culprit !== undefined) {
        // The others go on; if that was not enough, the next packets above the SLO throttle the core.
        const sandbox = this.sandboxes[culprit.index]!;
        const holdMs = blame(sandbox, nowMs);
        this.holding = true;
        this.conflicts++;
        this.board.set(this.core, Core.conflicts, this.conflicts);
        detector.reset();
        const cause = `${(aboveShare * 100).toFixed(1)} % of packets above the SLO of ${this.sloUs} us: ${culprit.why}: frozen for ${holdMs.toFixed(0)} ms`;
        return { from, to: from, cause, culprit: { slot: sandbox.slot, holdMs } };
      }
    }
    const to = step(this.state, verdict, nowMs);
    if (to === from) return undefined;
    if (to > from) {
      if (verdict !== 'leading') this.conflicts++;
      // The packets that led here are answered for; only new ones may take the next level.
      detector.reset();
      // A quota stops nobody who has not used it up yet.
      if (verdict !== 'leading') this.pausedUntilMs = nowMs + CONFLICT.pauseMs;
    }
    this.publishBudget();
    const cause =
      to < from
        ? 'calm'
        : starved
          ? 'the NF leaves nothing of its core'
          : verdict === 'leading'
            ? (this.queueSign ?? 'NF threads wait for their core')
            : `${(aboveShare * 100).toFixed(1)} % of packets above the SLO of ${this.sloUs} us`;
    const sole = to > from && verdict !== 'leading' ? soleSuspect(this.sandboxes, nowMs) : -1;
    return { from, to, cause, ...(sole >= 0 ? { soleSlot: this.sandboxes[sole]!.slot } : {}) };
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
    if (soleSuspect(sandboxes, nowMs) >= 0) return undefined;
    for (const sandbox of sandboxes) if (isSuspect(sandbox, nowMs)) sandbox.counters.look(nowMs);
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
      const { slot, throttle, heldUntilMs } = this.sandboxes[i]!;
      const busy = Atomics.load(this.slots, slot) === Slot.busy;
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
    const harvestable = this.harvestable && (this.gated || this.nfs.every(({ nf }) => nf.gate !== true));
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
    board.set(core, Core.spareRatio, 1 - nfRatio);
    const predicted = this.how.predict ? model.predictedSpareRatio() : 1 - nfRatio;
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
