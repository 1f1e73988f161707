/**
 * The throttle ladder: what each level takes from functions, and when a core goes down and back up.
 * Down at once, back slowly: every conflict soon after a recovery doubles the time to the next step up.
 */

import { CONFLICT } from '../tunables.js';
import type { Verdict } from './detect.js';

export interface ThrottleLevel {
  readonly name: string;
  /** Factor on the calls that may run at once; the result is rounded up, 0 stops new calls. */
  readonly runningFactor: number;
  /** Cap on a sandbox's share of the core; null = none. */
  readonly quotaRatio: number | null;
  readonly frozen: boolean;
  /** Functions leave the core for a housekeeping core. */
  readonly offCore: boolean;
  /** New sandboxes may be prewarmed on the core. */
  readonly prewarm: boolean;
}

export const LADDER: readonly ThrottleLevel[] = [
  { name: 'full', runningFactor: 1, quotaRatio: null, frozen: false, offCore: false, prewarm: true },
  { name: 'narrow', runningFactor: 0.5, quotaRatio: null, frozen: false, offCore: false, prewarm: false },
  { name: 'half', runningFactor: 0.5, quotaRatio: 0.5, frozen: false, offCore: false, prewarm: false },
  { name: 'fifth', runningFactor: 0.5, quotaRatio: 0.2, frozen: false, offCore: false, prewarm: false },
  { name: 'frozen', runningFactor: 0, quotaRatio: 0.2, frozen: true, offCore: false, prewarm: false },
  { name: 'off', runningFactor: 0, quotaRatio: 0.2, frozen: false, offCore: true, prewarm: false },
];

export const FROZEN = LADDER.findIndex((level) => level.name === 'frozen');
export const OFF = LADDER.length - 1;

export interface LadderState {
  level: number;
  /** When the level last changed. */
  changedMs: number;
  /** Last time that anything but calm was seen. */
  troubleMs: number;
  /** Present length of calm that is asked for before a step up. */
  holdMs: number;
  /** Last time that a step up was taken. */
  recoveredMs: number;
}

export function initialState(nowMs: number): LadderState {
  return { level: 0, changedMs: nowMs, troubleMs: 0, holdMs: CONFLICT.holdMinMs, recoveredMs: 0 };
}

/**
 * The level for now. Called once a tick and core; changes `state` in place (no allocation) and returns the new
 * level. `paceMs`: between two packets of the NF that has the fewest; 0: not known, or there are none.
 */
export function step(state: LadderState, verdict: Verdict, nowMs: number, paceMs = 0): number {
  const level = verdict === 'calm' ? recover(state, nowMs, paceMs) : retreat(state, verdict, nowMs, paceMs);
  if (level !== state.level) {
    if (level < state.level) state.recoveredMs = nowMs;
    state.level = level;
    state.changedMs = nowMs;
  }
  return level;
}

/** Back to the top at once: what was taken from functions did not help. */
export function release(state: LadderState, nowMs: number): number {
  state.level = 0;
  state.changedMs = nowMs;
  state.holdMs = CONFLICT.holdMinMs;
  return 0;
}

/** Calm for that long is believed: rare packets take time to show it. */
function calmMs({ holdMs }: LadderState, paceMs: number): number {
  return Math.max(holdMs, Math.min(paceMs * CONFLICT.holdPackets, CONFLICT.holdMaxMs));
}

function retreat(
  state: LadderState,
  verdict: Exclude<Verdict, 'calm'>,
  nowMs: number,
  paceMs: number,
): number {
  state.troubleMs = nowMs;
  const level = levelFor(state, verdict, nowMs);
  if (level > state.level && verdict !== 'leading') {
    // Trouble again soon after a step up: it was too early, so wait twice as long next time.
    const relapseMs = Math.max(CONFLICT.relapseMs, 2 * calmMs(state, paceMs));
    const soon = state.recoveredMs > 0 && nowMs - state.recoveredMs < relapseMs;
    state.holdMs = soon ? Math.min(calmMs(state, paceMs) * 2, CONFLICT.holdMaxMs) : CONFLICT.holdMinMs;
  }
  return level;
}

function levelFor(state: LadderState, verdict: Exclude<Verdict, 'calm'>, nowMs: number): number {
  switch (verdict) {
    case 'severe':
      return Math.max(state.level, frozenTooLong(state, nowMs) ? OFF : FROZEN);
    case 'broken':
      return Math.max(state.level, Math.min(Math.max(state.level + CONFLICT.brokenSteps, 2), FROZEN));
    case 'leading':
      return Math.max(state.level, 1);
  }
}

function recover(state: LadderState, nowMs: number, paceMs: number): number {
  if (state.level === 0) return 0;
  if (nowMs - Math.max(state.changedMs, state.troubleMs) >= calmMs(state, paceMs)) {
    // From `off` past `frozen`: a frozen function would show nothing about whether the core bears it.
    return state.level === OFF ? FROZEN - 1 : state.level - 1;
  }
  return frozenTooLong(state, nowMs) ? OFF : state.level;
}

/** A freeze must not last: what was accepted has to finish, elsewhere if need be. */
function frozenTooLong(state: LadderState, nowMs: number): boolean {
  return state.level === FROZEN && nowMs - state.changedMs > CONFLICT.frozenMaxMs;
}
