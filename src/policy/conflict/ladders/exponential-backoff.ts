/**
 * Down at once, back slowly: a severe conflict freezes, a broken SLO takes two levels, and a leading sign the first one.
 * Back by one level after a time of calm that doubles with each relapse soon after a recovery.
 */

import { CONFLICT } from '../../../tunables/index.js';
import type { ConflictLevel } from '../detect.js';
import { FROZEN, OFF } from '../ladder.js';
import type { LadderRule, LadderState } from '../ladder-rule.js';

interface BackoffState extends LadderState {
  /** When the level last changed. */
  changedMs: number;
  /** Last time that anything but calm was seen. */
  troubleMs: number;
  /** Present length of calm that is asked for before a step up. */
  holdMs: number;
  /** Last time that a step up was taken. */
  recoveredMs: number;
}

export const exponentialBackoff: LadderRule<BackoffState> = {
  name: 'exponential-backoff',
  about: 'down at once, back one level after a hold of calm that doubles with each relapse',
  initial: (nowMs) => ({
    ...{ level: 0, changedMs: nowMs, troubleMs: 0 },
    ...{ holdMs: CONFLICT.holdMinMs, recoveredMs: 0 },
  }),
  step(state, verdict, nowMs, paceMs) {
    const level = verdict === 'calm' ? recover(state, nowMs, paceMs) : retreat(state, verdict, nowMs, paceMs);
    if (level !== state.level) {
      if (level < state.level) state.recoveredMs = nowMs;
      state.level = level;
      state.changedMs = nowMs;
    }
    return level;
  },
  release(state, nowMs) {
    state.level = 0;
    state.changedMs = nowMs;
    state.holdMs = CONFLICT.holdMinMs;
  },
};

/** Calm for that long is believed: rare packets take time to show it. */
function calmMs({ holdMs }: BackoffState, paceMs: number): number {
  return Math.max(holdMs, Math.min(paceMs * CONFLICT.holdPackets, CONFLICT.holdMaxMs));
}

function retreat(
  state: BackoffState,
  verdict: Exclude<ConflictLevel, 'calm'>,
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

function levelFor(state: BackoffState, verdict: Exclude<ConflictLevel, 'calm'>, nowMs: number): number {
  if (frozenTooLong(state, nowMs)) return OFF;
  switch (verdict) {
    case 'severe':
      return Math.max(state.level, FROZEN);
    case 'broken':
      return Math.max(state.level, Math.min(Math.max(state.level + CONFLICT.brokenSteps, 2), FROZEN));
    case 'leading':
      return Math.max(state.level, 1);
  }
}

function recover(state: BackoffState, nowMs: number, paceMs: number): number {
  if (state.level === 0) return 0;
  if (nowMs - Math.max(state.changedMs, state.troubleMs) >= calmMs(state, paceMs)) {
    // From `off` past `frozen`: a frozen function would show nothing about whether the core bears it.
    return state.level === OFF ? FROZEN - 1 : state.level - 1;
  }
  return frozenTooLong(state, nowMs) ? OFF : state.level;
}

/** A freeze must not last: what was accepted has to finish, elsewhere if need be. */
function frozenTooLong(state: BackoffState, nowMs: number): boolean {
  return state.level === FROZEN && nowMs - state.changedMs > CONFLICT.frozenMaxMs;
}
