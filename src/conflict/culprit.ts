/**
 * Who is to blame for a conflict? Among several functions on a core, the one that used most of what functions used
 * lately; a function that was to blame before is believed less. And first: was it a function at all? A stall of the
 * host delays packets and this loop alike. Pure; told by timing only, so two functions that share the core evenly
 * have no culprit and the whole core is throttled.
 */

import { CONFLICT } from '../tunables.js';

export interface Suspect {
  /** CPU time used lately, decayed tick by tick, nanoseconds. */
  recentNs: number;
  busy: boolean;
  /** Grows with each blame, halves every CONFLICT.relapseMs. */
  penalty: number;
  penaltyAtMs: number;
  /** Frozen until then; 0 = not held. */
  heldUntilMs: number;
}

export function penaltyNow(suspect: Suspect, nowMs: number): number {
  return suspect.penalty * 2 ** (-(nowMs - suspect.penaltyAtMs) / CONFLICT.relapseMs);
}

/**
 * Index of the culprit, or -1: nobody stands out, or only one function runs (then the ladder answers for the core).
 * A held function is no suspect: trouble while it is held is not its doing.
 */
export function findCulprit(suspects: readonly Suspect[], nowMs: number): number {
  let total = 0;
  let best = -1;
  let bestWeight = 0;
  let running = 0;
  for (let i = 0; i < suspects.length; i++) {
    const suspect = suspects[i]!;
    if (!suspect.busy || suspect.heldUntilMs > nowMs) continue;
    running++;
    const weight = suspect.recentNs * (1 + penaltyNow(suspect, nowMs));
    total += weight;
    if (weight > bestWeight) {
      best = i;
      bestWeight = weight;
    }
  }
  return running >= 2 && bestWeight >= total * CONFLICT.culpritShare ? best : -1;
}

/** Blames: holds it for longer the more it was to blame lately. Returns how long, milliseconds. */
export function blame(suspect: Suspect, nowMs: number): number {
  suspect.penalty = penaltyNow(suspect, nowMs) + 1;
  suspect.penaltyAtMs = nowMs;
  const holdMs = Math.min(CONFLICT.culpritHoldMs * 2 ** (suspect.penalty - 1), CONFLICT.frozenMaxMs);
  suspect.heldUntilMs = nowMs + holdMs;
  return holdMs;
}

/**
 * Was the host to blame for this tick? The loop has its core before all others: if it woke late itself, the machine
 * stood still. One excuse a window, so that a function that slows the whole machine down is not excused for ever.
 */
export function hostStalled(lateNs: number, nowMs: number, excusedMs: number): boolean {
  return lateNs > CONFLICT.hostLateUs * 1_000 && nowMs - excusedMs > CONFLICT.hostExcuseGapMs;
}
