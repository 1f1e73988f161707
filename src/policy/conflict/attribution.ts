/**
 * Who is to blame for a conflict? Among several functions on a core, the one that stands out by what it did lately: CPU
 * time, and what CPU time does not show: time in the kernel, page faults, memory taken. A function that was to blame
 * before is believed less. And first: was it a function at all? A stall of the host delays packets and this loop alike.
 * Pure. Two functions that are alike in all have no culprit: then the whole core is throttled.
 */

import { CONFLICT } from '../../tunables/index.js';

/** What each sandbox's counters are judged by, each as a rate a second. */
export const COUNTERS = ['kernel time', 'page faults', 'memory taken'] as const;

/** Rates of all suspects together below which a counter says nothing. */
const LEAST = [CONFLICT.kernelLeastRatio, CONFLICT.faultsLeastPerS, CONFLICT.growthLeastBytesPerS];

export interface Suspect {
  /** CPU time used lately, decayed tick by tick, nanoseconds. */
  recentNs: number;
  busy: boolean;
  /** Grows with each blame, halves every CONFLICT.relapseMs. */
  penalty: number;
  penaltyAtMs: number;
  /** Frozen until then; 0 = not held. */
  heldUntilMs: number;
  /** Its rates lately, in the order of COUNTERS; all 0: not known. */
  readonly rates: Float64Array;
}

export interface Attribution {
  index: number;
  /** What it stands out by, in words for its owner. */
  why: string;
}

export function penaltyNow(suspect: Suspect, nowMs: number): number {
  return suspect.penalty * 2 ** (-(nowMs - suspect.penaltyAtMs) / CONFLICT.relapseMs);
}

/** A held function is no suspect: trouble while it is held is not its doing. */
function isSuspect(suspect: Suspect, nowMs: number): boolean {
  return suspect.busy && suspect.heldUntilMs <= nowMs;
}

/** Indexes of those that run. */
export function suspectsAt(suspects: readonly Suspect[], nowMs: number): number[] {
  const running: number[] = [];
  for (let i = 0; i < suspects.length; i++) if (isSuspect(suspects[i]!, nowMs)) running.push(i);
  return running;
}

/** The culprit; undefined: nobody stands out, or only one function runs (then the ladder answers for the core). */
export function attribute(suspects: readonly Suspect[], nowMs: number): Attribution | undefined {
  const running = suspectsAt(suspects, nowMs);
  if (running.length < 2) return undefined;
  const shares: Array<{ of: string; each: number[] }> = [];
  const judge = (of: string, least: number, amount: (suspect: Suspect) => number) => {
    const amounts = running.map((i) => amount(suspects[i]!));
    const total = amounts.reduce((sum, one) => sum + one, 0);
    if (total > 0 && total >= least) shares.push({ of, each: amounts.map((one) => one / total) });
  };
  judge('CPU time', 0, (suspect) => suspect.recentNs);
  COUNTERS.forEach((of, k) => void judge(of, LEAST[k]!, (suspect) => suspect.rates[k]!));
  // Each sign weighs the same: none of them is the disturbance itself.
  const weights = running.map((i, at) => {
    const sum = shares.reduce((all, { each }) => all + each[at]!, 0);
    return sum * (1 + penaltyNow(suspects[i]!, nowMs));
  });
  const total = weights.reduce((sum, one) => sum + one, 0);
  const most = Math.max(...weights);
  if (most === 0 || most < total * CONFLICT.culpritShare) return undefined;
  const at = weights.indexOf(most);
  const why = shares
    .filter(({ each }) => each[at]! >= 0.5)
    .map(({ of, each }) => `${Math.round(each[at]! * 100)} % of the ${of}`)
    .join(', ');
  return { index: running[at]!, why: why === '' ? 'to blame before' : why };
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
