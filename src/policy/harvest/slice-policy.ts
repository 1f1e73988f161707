/**
 * How long the slices are in which a polling NF's core is lent, and how far apart: a pure function of what was seen
 * in the last step. Retreats at once (a burst, a throttle level, latency near the SLO), grows slowly. A packet that
 * arrives in a slice waits for its end, so the length alone already bounds what the NF's latency can grow by.
 */

import { GATE } from '../../tunables/index.js';
import { FROZEN, LADDER } from '../conflict/ladder.js';

export interface SliceSigns {
  nowMs: number;
  /** Packets per second that came in the last step; 0 if it is not known. */
  packetsPerS: number;
  /** 0: none. */
  sloUs: number;
  /** Over the last second; not a number or 0 if it is not known. */
  p99Us: number;
  /** The conflict manager's. */
  throttleLevel: number;
  /** How much longer than the slice the NF is away, as measured. */
  overshootUs: number;
}

export interface SliceState {
  /** 0: closed. */
  sliceUs: number;
  /** From the end of a slice to the next one. */
  gapUs: number;
  /** Nothing is lent before this. */
  closedUntilMs: number;
  /** What the reported p99 leaves. */
  capUs: number;
  reviewedMs: number;
  /** Packets per second lately. */
  usualPerS: number;
}

export function closedSlice(): SliceState {
  return {
    sliceUs: 0,
    gapUs: GATE.gapMinUs,
    closedUntilMs: 0,
    capUs: GATE.sliceMaxUs,
    reviewedMs: 0,
    usualPerS: 0,
  };
}

/** The longest slice to ask for: by the SLO, by what may gather, and by the throttle level. Below the least: 0. */
export function sliceLimitUs(signs: SliceSigns): number {
  const { sloUs, packetsPerS, overshootUs, throttleLevel } = signs;
  if (throttleLevel >= FROZEN) return 0;
  const bySlo = sloUs > 0 ? sloUs * GATE.sloShare - overshootUs : Number.POSITIVE_INFINITY;
  const byRate =
    packetsPerS > 0 ? (GATE.backlogMax * 1e6) / packetsPerS - overshootUs : Number.POSITIVE_INFINITY;
  const byLevel = GATE.sliceMaxUs * (LADDER[throttleLevel]?.quotaRatio ?? 1);
  const limit = Math.min(bySlo, byRate, byLevel, GATE.sliceMaxUs);
  return limit < GATE.sliceMinUs ? 0 : limit;
}

/** Called once a step; changes `state` in place. */
export function stepSlice(state: SliceState, signs: SliceSigns): void {
  const { nowMs } = signs;
  review(state, signs);
  const limitUs = Math.min(sliceLimitUs(signs), state.capUs);
  if (limitUs < GATE.sliceMinUs || isBurst(state, signs)) {
    state.sliceUs = 0;
    state.closedUntilMs = nowMs + GATE.retreatMs;
  } else if (nowMs >= state.closedUntilMs) {
    state.sliceUs = Math.min(limitUs, Math.max(GATE.sliceMinUs, state.sliceUs + GATE.growUs));
  }
  // The first sign of trouble takes half of the offer before it takes any of a slice's length.
  const share = signs.throttleLevel > 0 ? 2 : 1;
  const awayUs = state.sliceUs + signs.overshootUs;
  state.gapUs = share * Math.max(GATE.gapMinUs, awayUs * GATE.gapShare);
}

/** Many more packets than lately, in a single step. */
function isBurst(state: SliceState, { packetsPerS }: SliceSigns): boolean {
  const burst =
    packetsPerS * (GATE.stepUs / 1e6) > GATE.burstMin && packetsPerS > state.usualPerS * GATE.burstFactor;
  // The first rate is nobody's burst; after that a lasting rise becomes usual by itself.
  if (state.usualPerS === 0) {
    state.usualPerS = packetsPerS;
    return false;
  }
  state.usualPerS += (packetsPerS - state.usualPerS) * GATE.rateWeight;
  return burst;
}

/** The reported p99 is slow to tell, but it tells what the length of a slice does not: what came of it. */
function review(state: SliceState, { nowMs, sloUs, p99Us }: SliceSigns): void {
  if (nowMs - state.reviewedMs < GATE.reviewMs) return;
  state.reviewedMs = nowMs;
  if (sloUs > 0 && p99Us > sloUs * GATE.p99HighShare) {
    state.capUs = Math.max(GATE.sliceMinUs, Math.min(state.capUs, state.sliceUs) * GATE.shrink);
  } else if (!(sloUs > 0 && p99Us > sloUs * GATE.p99LowShare)) {
    state.capUs = Math.min(GATE.sliceMaxUs, state.capUs * (2 - GATE.shrink));
  }
}
