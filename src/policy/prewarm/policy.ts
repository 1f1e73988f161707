/** What a prewarm policy sees and may ask for. Pure: mechanisms carry it out, one sandbox after the other, in idle windows. */

import type { RecentTimes } from '../usage/recent-times.js';
import type { FunctionUsage } from '../usage/usage.js';

/** How many loaded sandboxes a function should have, serving or not, and until when that holds if nothing happens. */
export interface Wanted {
  sandboxes: number;
  untilMs: number;
}

/** Stems of one kind: a runtime without code that fits all functions of that kind. */
export interface StemDemand {
  readonly key: string;
  /** Functions that could use them. */
  readonly functions: number;
  /** When sandboxes were asked for by calls, whether a stem was there or not. */
  readonly asked: Pick<RecentTimes, 'since'>;
}

/** What a function imports, of what may be imported before the function is known. */
export interface ImportingFunction {
  /** A stem with packages serves functions of one sharing group, or of none. */
  readonly group: string;
  readonly packages: readonly ImportedPackage[];
  /** Calls for which no sandbox was ready: each took a stem, or would have. */
  readonly misses: Pick<RecentTimes, 'since'>;
}

export interface ImportedPackage {
  readonly hash: string;
  /** What importing it takes, and what it then holds of memory. */
  readonly loadMs: number;
  readonly bytes: number;
}

export interface ImportSnapshot {
  readonly functions: readonly ImportingFunction[];
  /** These failed together in a stem. */
  refused(hashes: readonly string[]): boolean;
}

/** A node of the tree of zygotes: stems that have imported these packages, and serve only who imports all of them. */
export interface PreimportStem {
  readonly group: string;
  /** In order. */
  readonly hashes: readonly string[];
  readonly stems: number;
}

export interface PrewarmPolicy {
  readonly name: string;
  /** Start from a snapshot of the function where the engine has one, rather than from a stem. */
  readonly restoreFirst?: boolean;
  /** Makes a sandbox again in time for the next call, so that a keep-alive policy may end it at once. */
  readonly makesAgain?: boolean;
  /** Called when something of the function changed, and again at `untilMs`. */
  warm(usage: FunctionUsage, nowMs: number): Wanted;
  /** Called when something of a function changed, and every second, for each kind in use. Returns how many stems should be ready or being made. */
  stems(demand: StemDemand, nowMs: number): number;
  /** Called every second. Returns the zygotes that there should be, beside the stems, the most useful first. */
  zygotes?(snapshot: ImportSnapshot, nowMs: number): readonly PreimportStem[];
}

export const FOREVER = Number.POSITIVE_INFINITY;
