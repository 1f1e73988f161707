/**
 * Stems that have done some of a function's loading ahead, as pool and planner know them. A stem without a source is a
 * runtime and nothing more; without any source all stems are. The composition root hands one in (`PoolOptions.stemSource`),
 * and what a source's stems have done is its own business: pool and planner ask the hooks below.
 */

import type { StemKind } from '../engine/engines.js';
import type { FunctionSpec } from '../model/function.js';
import type { PackageRef } from '../model/package.js';
import type { FunctionUsage } from '../policy/usage/usage.js';
import type { AheadReport } from '../sandbox/engine.js';

/** A kind of the source's own: no plain stem has its key. */
export interface AheadKind extends StemKind {
  /** What its stems have done ahead, in words for operators. */
  readonly ahead: readonly string[];
}

export interface WantedStems<K extends AheadKind = AheadKind> {
  readonly kind: K;
  /** How many there should be, ready or being made. */
  readonly wanted: number;
}

/** Every `kind` that a hook is given is one that `wanted` returned. */
export interface StemSource<K extends AheadKind = AheadKind> {
  /** Called whenever the planner looks at stems, up to 20 times a second. What it returns is not changed. */
  wanted(
    functions: Iterable<{ spec: FunctionSpec; usage: FunctionUsage }>,
    nowMs: number,
  ): ReadonlyArray<WantedStems<K>>;
  /** Called before a stem is started. Returns what its engine imports before it says that the stem is ready. */
  imports(kind: K): readonly PackageRef[];
  /** Called when a stem is ready. Returns why it must not be used, after "its code"; it is ended then. */
  refuses(kind: K, report: AheadReport | undefined): string | undefined;
  /** Called when a stem printed something before it got a function. It is ended. */
  printed(kind: K): void;
  /** Called when a stem could not be made, or ended by itself before it got a function. */
  failed(kind: K, nowMs: number): void;
  /**
   * Called for each ready stem when a function needs a sandbox. Returns how much of the function's loading the stem saves, ms;
   * undefined: it must not serve it. The one that saves most is taken.
   */
  saves(kind: K, spec: FunctionSpec, nowMs: number): number | undefined;
}

export function isAhead(kind: StemKind): kind is AheadKind {
  return 'ahead' in kind;
}
