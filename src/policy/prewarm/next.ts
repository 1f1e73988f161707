/**
 * What to make next, of all that the policy wants: a sandbox for the function that was called most recently, then a
 * stem. Pure, and common to all policies.
 */

import type { FunctionUsage } from '../usage/usage.js';
import type { PrewarmPolicy, StemDemand } from './policy.js';

export interface PrewarmFunction {
  readonly key: string;
  /** Sandboxes with its code, and those that are being made. */
  readonly sandboxes: number;
  /** When it was last called or deployed, ms. */
  readonly lastUsedMs: number;
  /** Not before this: its code failed to load lately. */
  readonly notBeforeMs: number;
  readonly usage: FunctionUsage;
}

export interface PrewarmSnapshot {
  nowMs: number;
  /** Of each kind that is wanted; `count` are ready or being made. `wanted`: the policy has said how many. */
  stems: ReadonlyArray<StemDemand & { count: number; wanted?: number }>;
  /** False under memory pressure, or while every function core is throttled. */
  mayGrow: boolean;
  functions: Iterable<PrewarmFunction>;
}

export type PrewarmDecision = { kind: 'stem'; key: string } | { kind: 'warm'; functionKey: string };

/** At most one: sandboxes are made one after the other, so that making them never becomes a load of its own. */
export function nextToMake(policy: PrewarmPolicy, snapshot: PrewarmSnapshot): PrewarmDecision | undefined {
  if (!snapshot.mayGrow) return undefined;
  const { nowMs } = snapshot;
  let chosen: PrewarmFunction | undefined;
  for (const candidate of snapshot.functions) {
    if (nowMs < candidate.notBeforeMs) continue;
    if (chosen !== undefined && candidate.lastUsedMs <= chosen.lastUsedMs) continue;
    if (candidate.sandboxes < policy.warm(candidate.usage, nowMs).sandboxes) chosen = candidate;
  }
  if (chosen !== undefined) return { kind: 'warm', functionKey: chosen.key };
  const short = snapshot.stems.find((stem) => stem.count < (stem.wanted ?? policy.stems(stem, nowMs)));
  return short === undefined ? undefined : { kind: 'stem', key: short.key };
}
