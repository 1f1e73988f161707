/**
 * Where it is decided that a core is throttled, that one function is frozen alone, or that all is given back. Pure: what
 * is seen is in the snapshot, what is remembered in the state, which is changed in place. The loop calls, in this order:
 *
 *   observe      every tick, and between two ticks when an NF rings for a late packet
 *   wantsRates   if true, it brings the counters of the functions that run up to date
 *   decide       and applies what it says
 *
 * Snapshot and state are made once a core, and "keep" is always the same object: only a change allocates.
 */

import { CONFLICT, CONTROL, OTHERS } from '../../tunables/index.js';
import { type Attribution, attribute, blame, hostStalled, suspectsAt } from './attribution.js';
import { CoreJudges } from './core-judges.js';
import type { CoreSnapshot } from './core-snapshot.js';
import type { ConflictLevel } from './detect.js';
import { FROZEN, LADDER, OFF } from './ladder.js';
import type { LadderRule, LadderState } from './ladder-rule.js';

export type Decision =
  | { readonly kind: 'keep' }
  | {
      readonly kind: 'level';
      readonly from: number;
      readonly to: number;
      readonly cause: string;
      /** Indexes of the functions that ran when packets were late and the core was throttled. */
      readonly ran?: readonly number[];
    }
  /** One function of several is frozen; the level stays. */
  | {
      readonly kind: 'hold';
      readonly level: number;
      readonly index: number;
      readonly holdMs: number;
      readonly cause: string;
    };

/** What is to be applied. */
export type Change = Exclude<Decision, { kind: 'keep' }>;

export interface ConflictState {
  readonly judges: CoreJudges;
  readonly rule: LadderRule;
  readonly ladder: LadderState;
  /** All functions of the core are frozen until then, whatever the level. */
  pausedUntilMs: number;
  /** Answered by throttling the core or freezing one function. */
  conflicts: number;
  /** Ticks whose late packets the host is to blame for, and the last of them. */
  hostStalls: number;
  excusedMs: number;
  /** The last tick. */
  tickMs: number;
  /** When the NF, with others, last left something of the core, or nobody wanted it. */
  spareMs: number;
  /** The last ring told of packets above their SLO that nothing excuses. */
  late: boolean;
}

const KEEP: Decision = { kind: 'keep' };

export function conflictState(rule: LadderRule, nowMs: number): ConflictState {
  return {
    ...{ judges: new CoreJudges(), rule, ladder: rule.initial(nowMs) },
    ...{ pausedUntilMs: 0, conflicts: 0, hostStalls: 0, late: false },
    ...{ excusedMs: Number.NEGATIVE_INFINITY, tickMs: nowMs, spareMs: nowMs },
  };
}

/** Takes a look into account. Also called where nothing may be throttled: what the host did is counted there too. */
export function observe(snapshot: CoreSnapshot, state: ConflictState, nowMs: number): void {
  const { judges } = state;
  const isTick = snapshot.ticks > 0;
  if (isTick) observeTick(snapshot, state, nowMs);
  else observeRing(snapshot, state, nowMs);
  if (judges.any && (isTick || state.late)) judges.judge();
}

/** Whether `decide` would choose between functions now: then their `rates` have to be brought up to date before. */
export function wantsRates(snapshot: CoreSnapshot, state: ConflictState, nowMs: number): boolean {
  return mayHoldOne(snapshot, state, nowMs) && suspectsAt(snapshot.functions, nowMs).length > 1;
}

/** What follows for the core: the rules, in their order. Called after `observe`, and only where functions may be throttled. */
export function decide(snapshot: CoreSnapshot, state: ConflictState, nowMs: number): Decision {
  const { judges, ladder } = state;
  if (!isDue(snapshot, state)) return KEEP;
  // The NF ended, moved to another core, or lost its SLO: there are no packets that could be late.
  if (!judges.any) return giveBack(state, nowMs, 'no NF with an SLO is on this core any more');
  // What was accepted has to finish, elsewhere if need be.
  const starved = isStarved(state, nowMs);
  // Packets that are as late without functions are not late because of them.
  if (isAcquitted(state) && !starved) return giveBack(state, nowMs, 'packets are as late without functions');
  // The others go on. If that is not enough, the next packets above the SLO throttle the core.
  if (mayHoldOne(snapshot, state, nowMs)) {
    const culprit = attribute(snapshot.functions, nowMs);
    if (culprit !== undefined) return holdOne(snapshot, state, nowMs, culprit);
  }
  // Off the core and still too slow: functions stay off until the NF alone is well again.
  const brokenAlone = ladder.level === OFF && judges.sloBroken;
  return followLadder(snapshot, state, nowMs, starved || brokenAlone ? 'severe' : judges.verdict);
}

/** Whether a late packet would have consequences at once: functions run, and there is a level to go down. */
export function listens(snapshot: CoreSnapshot, state: ConflictState): boolean {
  return snapshot.functionsRan && state.ladder.level < FROZEN && !isAcquitted(state);
}

/** Enough is known of windows without functions, and packets are about as late in them. */
export function isAcquitted({ judges }: ConflictState): boolean {
  return judges.acquitted && !judges.unmeetable;
}

/** The SLO is not met even with all functions off the core. */
export function isUnmeetable({ judges, ladder }: ConflictState): boolean {
  return judges.unmeetable && ladder.level === OFF;
}

function observeTick(snapshot: CoreSnapshot, state: ConflictState, nowMs: number): void {
  const { nfs, lateNs, outOfShare } = snapshot;
  const { frozen, offCore } = LADDER[state.ladder.level]!;
  let late = false;
  for (let i = 0; i < nfs.length; i++) if (nfs[i]!.sloUs > 0 && nfs[i]!.aboveSlo > 0) late = true;
  // One excuse a window: a function that slows the whole machine down is not excused for ever.
  const excused = late && hostStalled(lateNs, nowMs, state.excusedMs);
  if (excused) {
    state.excusedMs = nowMs;
    state.hostStalls++;
  }
  if (leavesSome(snapshot, offCore)) state.spareMs = nowMs;
  // A pause that ended since the last tick took a part of it.
  const paused = state.pausedUntilMs > state.tickMs;
  state.judges.observe(snapshot, excused, !frozen && !offCore && !outOfShare && !paused, offCore);
  state.tickMs = nowMs;
}

function observeRing({ nfs }: CoreSnapshot, state: ConflictState, nowMs: number): void {
  // Of a stall the tick hears first, being due all the while; the packets that it held up follow.
  const stalled = nowMs - state.excusedMs < CONTROL.periodUs / 1000;
  state.late = false;
  for (let i = 0; i < nfs.length; i++) {
    const { packets, aboveSlo, stoppedByQuota } = nfs[i]!;
    const excused = stalled || stoppedByQuota;
    if (packets > 0) state.judges.amend(i, packets, excused ? 0 : aboveSlo);
    if (!excused && aboveSlo > 0) state.late = true;
  }
}

/** Of the core, for whoever waits for it. Functions that have left it come back for more only. */
function leavesSome({ functionsRan, lent, nfRatio, othersRatio }: CoreSnapshot, offCore: boolean): boolean {
  if (lent || !(functionsRan || offCore)) return true;
  const most = offCore && othersRatio > 0 ? OTHERS.leftRatio : CONFLICT.saturatedRatio;
  return nfRatio + othersRatio < most;
}

/** For so long nothing of the core was left to functions. */
function isStarved(state: ConflictState, nowMs: number): boolean {
  return nowMs - state.spareMs > CONFLICT.frozenMaxMs;
}

/** Between two ticks only late packets are answered, and only where there is something to take. */
function isDue(snapshot: CoreSnapshot, state: ConflictState): boolean {
  return snapshot.ticks > 0 || (state.late && state.judges.any && listens(snapshot, state));
}

function isBroken(verdict: ConflictLevel): boolean {
  return verdict === 'broken' || verdict === 'severe';
}

/** Functions run, and one of them may be why the SLO is broken. */
function mayHoldOne(snapshot: CoreSnapshot, state: ConflictState, nowMs: number): boolean {
  const { judges, ladder } = state;
  if (!isBroken(judges.verdict) || ladder.level >= FROZEN) return false;
  return isDue(snapshot, state) && !isAcquitted(state) && !isStarved(state, nowMs);
}

function holdOne(
  { functions }: CoreSnapshot,
  state: ConflictState,
  nowMs: number,
  { index, why }: Attribution,
): Decision {
  const holdMs = blame(functions[index]!, nowMs);
  state.conflicts++;
  const cause = `${state.judges.cause()}: ${why}: frozen for ${holdMs.toFixed(0)} ms`;
  state.judges.reset();
  return { kind: 'hold', level: state.ladder.level, index, holdMs, cause };
}

function giveBack(state: ConflictState, nowMs: number, cause: string): Decision {
  const from = state.ladder.level;
  if (from === 0) return KEEP;
  state.rule.release(state.ladder, nowMs);
  state.judges.reset();
  return { kind: 'level', from, to: 0, cause };
}

/** One step of the ladder, and what follows from it. */
function followLadder(
  snapshot: CoreSnapshot,
  state: ConflictState,
  nowMs: number,
  verdict: ConflictLevel,
): Decision {
  const { judges, ladder, rule } = state;
  const from = ladder.level;
  const to = rule.step(ladder, verdict, nowMs, judges.paceMs);
  if (to === from) return KEEP;
  if (to < from) {
    // While functions were stopped, packets told nothing of how they do beside them.
    if (from >= FROZEN) judges.reset();
    return { kind: 'level', from, to, cause: 'calm' };
  }
  const cause = causeOf(snapshot, state, nowMs, verdict);
  if (verdict === 'leading') {
    // No packet led here, so none is answered for but those of the last 20 ms.
    judges.resetShort();
    return { kind: 'level', from, to, cause };
  }
  // The packets that led here are answered for; only new ones may take the next level.
  judges.reset();
  state.conflicts++;
  // A quota stops nobody who has not used it up yet.
  state.pausedUntilMs = nowMs + CONFLICT.pauseMs;
  return { kind: 'level', from, to, cause, ran: suspectsAt(snapshot.functions, nowMs) };
}

/** Why the core is throttled. */
function causeOf(
  { nfs, othersRatio }: CoreSnapshot,
  state: ConflictState,
  nowMs: number,
  verdict: ConflictLevel,
): string {
  if (isStarved(state, nowMs)) {
    return `the NF${othersRatio === 0 ? ' leaves' : ' and other processes leave'} nothing of its core`;
  }
  if (verdict === 'leading') {
    return nfs.findLast((nf) => nf.queueSign !== undefined)?.queueSign ?? 'NF threads wait for their core';
  }
  // No new sign: the calls that are frozen have to end, elsewhere if need be.
  return verdict === 'calm' ? 'functions were frozen for too long' : state.judges.cause();
}
