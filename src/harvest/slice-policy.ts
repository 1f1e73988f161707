/**
 * How long the slices are in which a polling NF's core is lent, and how far apart: a pure function of what was seen
 * in the last step. Retreats at once (a burst, a throttle level, latency above the SLO), grows slowly. A packet that
 * arrives in a slice waits for its end, so the slice bounds what the NF's latency can grow by.
 */

import { FROZEN, LADDER } from '../conflict/ladder.js';
import { GATE } from '../tunables.js';

export interface SliceSigns {
  nowMs: number;
  /** Packets per second that came in the last step; 0 if it is not known. */
  packetsPerS: number;
  sloUs: number;
  /** The conflict manager's. */
  throttleLevel: number;
}

export interface SliceState {
  /** 0: closed. */
  sliceUs: number;
  periodUs: number;
  /** Nothing is lent before this. */
  closedUntilMs: number;
}

export function closedSlice(): SliceState {
  return { sliceUs: 0, periodUs: 0, closedUntilMs: 0 };
}

/** The longest slice to ask for: by the SLO, by what may gather, and by the throttle level. Below the least: 0. */
export function sliceLimitUs(signs: SliceSigns): number {
  if (signs.throttleLevel >= FROZEN) return 0;
  const bySlo = signs.sloUs > 0 ? signs.sloUs * GATE.sloShare - GATE.overshootUs : Number.POSITIVE_INFINITY;
  const byRate =
    signs.packetsPerS > 0
      ? (GATE.backlogMax * 1e6) / signs.packetsPerS - GATE.overshootUs
      : Number.POSITIVE_INFINITY;
  const byLevel = GATE.sliceMaxUs * (LADDER[signs.throttleLevel]?.quotaRatio ?? 1);
  const limit = Math.min(bySlo, byRate, byLevel, GATE.sliceMaxUs);
  return limit < GATE.sliceMinUs ? 0 : limit;
}

/** Called once a step; changes `state` in place. */
export function stepSlice(state: SliceState, signs: SliceSigns): void {
  const limitUs = sliceLimitUs(signs);
  if (limitUs === 0) {
    state.sliceUs = 0;
    state.closedUntilMs = signs.nowMs + GATE.retreatMs;
  } else if (signs.nowMs >= state.closedUntilMs) {
    state.sliceUs = Math.min(limitUs, Math.max(GATE.sliceMinUs, state.sliceUs + GATE.growUs));
  }
  // A slice ends late by the overshoot; what is left over is the NF's.
  const gapUs = Math.max(GATE.gapMinUs, (state.sliceUs + GATE.overshootUs) * GATE.gapShare);
  state.periodUs = state.sliceUs === 0 ? 0 : state.sliceUs + GATE.overshootUs + gapUs;
}
