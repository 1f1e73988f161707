/**
 * Removes stored code and packages that no function needs any more: on this box after a while, since a sandbox may be loading
 * them just now, and in a store that boxes share once no box needs them.
 */

import type { FunctionSpec } from '../model/function.js';
import { FUNCTION_LIMITS } from '../tunables/index.js';
import type { BundleFiles } from './bundle-files.js';
import { hashesOf } from './function-blocks.js';
import type { SharedBlocks } from './shared-blocks.js';
import type { SpecStore } from './spec-store.js';

export interface CodeSweepOptions {
  bundles: BundleFiles;
  shared: SharedBlocks | undefined;
  stored: SpecStore;
  /** Those of this box. */
  specs: () => FunctionSpec[];
  /** Runs after all changes that were begun before; of boxes that share a store, `changeShared` one at a time. */
  change: (work: () => Promise<void>) => Promise<void>;
  changeShared: (work: () => Promise<void>) => Promise<void>;
  /** How long replaced code stays on disk. Default: FUNCTION_LIMITS.bundleGraceMs. */
  graceMs?: number | undefined;
}

export class CodeSweep {
  private timer: NodeJS.Timeout | undefined;
  /** Hashes that functions named before, and when they did so last. */
  private readonly replaced = new Map<string, number>();
  /** Hashes that the store names although their function could not be brought back. */
  private readonly orphans = new Set<string>();
  private readonly graceMs: number;

  constructor(private readonly options: CodeSweepOptions) {
    this.graceMs = options.graceMs ?? FUNCTION_LIMITS.bundleGraceMs;
  }

  /** What this function needs stays, although it is not one of this box. */
  keep(spec: FunctionSpec): void {
    for (const hash of hashesOf(spec)) this.orphans.add(hash);
  }

  /** This box needs it no longer, nor gives it to others. */
  free(before: FunctionSpec): void {
    this.options.shared?.free(hashesOf(before));
    this.later(before);
  }

  /** `before`: what a function was until now. */
  later(before?: FunctionSpec): void {
    for (const hash of before === undefined ? [] : hashesOf(before))
      this.replaced.set(hash, performance.now());
    // One that is due is not put off: whoever deploys without a pause would keep all that was ever replaced.
    this.timer ??= setTimeout(() => {
      const { change, changeShared, shared } = this.options;
      this.timer = undefined;
      // What cannot be removed now is tried again at the next sweep.
      void change(() => this.run());
      if (shared?.hasFreed === true) void changeShared(() => this.sweepShared()).catch(() => undefined);
    }, this.graceMs).unref();
  }

  /** As a change. */
  run(): Promise<void> {
    const { bundles, specs } = this.options;
    const kept = new Set(this.orphans);
    for (const [hash, atMs] of this.replaced) {
      if (performance.now() - atMs >= this.graceMs) this.replaced.delete(hash);
      else kept.add(hash);
    }
    if (this.replaced.size > 0) this.later();
    for (const spec of specs()) for (const hash of hashesOf(spec)) kept.add(hash);
    return bundles.sweep(kept).catch(() => undefined);
  }

  private async sweepShared(): Promise<void> {
    const specs = await this.options.stored.allSpecs();
    if (specs !== undefined) await this.options.shared?.sweep(new Set(specs.flatMap(hashesOf)));
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
