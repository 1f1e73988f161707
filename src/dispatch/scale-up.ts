/**
 * Makes instances for a function whose calls wait: from a stem if there is one, else from nothing. What goes
 * wrong is the function's own (its code does not load: callers are told, and it is left alone for a while) or the
 * box's (no memory: calls wait as long as some sandbox of the function can still take them).
 */

import type { StartKind } from '../model/call.js';
import type { Clock } from '../model/clock.js';
import { asNemoError, type NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import type { FunctionState } from '../pool/function-state.js';
import type { Instance } from '../pool/instance.js';
import type { Pool } from '../pool/pool.js';
import { DISPATCH } from '../tunables/index.js';

export interface ScaleUpOptions {
  pool: Pool;
  clock: Clock;
  /** False once the function was removed, or replaced by another of its name. */
  isCurrent: (fn: FunctionState) => boolean;
  /** The waiting calls of `fn` will not be served. */
  onFailed: (fn: FunctionState, error: NemoError) => void;
  /** Something of `fn` changed: calls may go on. */
  onChanged: (fn: FunctionState) => void;
}

export class ScaleUp {
  stopping = false;

  constructor(private readonly options: ScaleUpOptions) {}

  /** Makes one more instance on a core. No effect while the function has to be left alone. */
  start(fn: FunctionState, core: number): void {
    const nowMs = this.options.clock.nowMs();
    if (nowMs < fn.growNotBeforeMs) return;
    if (nowMs < fn.notBeforeMs && fn.loadError !== undefined) {
      if (!canServe(fn)) this.options.onFailed(fn, fn.loadError);
      return;
    }
    fn.starting++;
    fn.usage.misses.record(nowMs);
    void this.grow(fn, core).finally(() => {
      fn.starting--;
      this.options.onChanged(fn);
    });
  }

  private async grow(fn: FunctionState, core: number): Promise<void> {
    const { clock } = this.options;
    const fromMs = clock.nowMs();
    let made: { instance: Instance; origin: StartKind };
    try {
      made = await this.make(fn, core);
    } catch (thrown) {
      this.failed(fn, asNemoError(thrown), true);
      return;
    }
    const { instance, origin } = made;
    instance.askedMs = fromMs;
    try {
      await this.loadInto(fn, instance, origin);
      fn.usage.started(clock.nowMs() - fromMs);
    } catch (thrown) {
      this.failed(fn, asNemoError(thrown), false);
    }
  }

  private async make(
    { spec }: FunctionState,
    core: number,
  ): Promise<{ instance: Instance; origin: StartKind }> {
    const { pool } = this.options;
    const kind = pool.stemKind(spec);
    const stem = await pool.takeStemFor(spec, core);
    // One that has done some of the loading ahead was there in its place.
    if (stem === undefined || stem.stemKind.key === kind.key) pool.stems.noteAsked(kind);
    if (stem !== undefined) return { instance: stem, origin: 'stem' };
    return { instance: await this.makeWithRetries(core, spec), origin: 'cold' };
  }

  private async makeWithRetries(core: number, spec: FunctionSpec): Promise<Instance> {
    const { pool } = this.options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await pool.make(core, pool.stemKind(spec), spec.memoryBytes, true, spec);
      } catch (thrown) {
        const error = asNemoError(thrown);
        if (error.code !== 'SANDBOX_START' || attempt >= DISPATCH.startAttempts || this.stopping) throw error;
      }
    }
  }

  /** `starting`: there was no sandbox yet. Whoever is to blame, it would fail again at once. */
  private failed(fn: FunctionState, error: NemoError, starting: boolean): void {
    // A later deploy made this code old news, and removal has answered the callers.
    if (!this.options.isCurrent(fn)) return;
    if (starting || error.blame === 'system')
      fn.growNotBeforeMs = this.options.clock.nowMs() + DISPATCH.growBackoffMs;
    else if (fn.loadError === undefined) return;
    // `starting` still counts the one that failed.
    if (!canServe(fn) && (fn.starting <= 1 || error.blame !== 'system')) this.options.onFailed(fn, error);
  }

  /**
   * Gives a stem the code of now and joins it to its function. Rejects if that code cannot be loaded. Also used by
   * prewarming, with origin `warm`.
   */
  async loadInto(fn: FunctionState, instance: Instance, origin: StartKind): Promise<void> {
    const { pool, isCurrent } = this.options;
    const { spec } = fn;
    // Meanwhile it was removed, or deployed again, for another engine or with more memory than was set aside: whoever still
    // waits is looked at again.
    const fits =
      (instance.madeFor ?? spec) === spec &&
      spec.memoryBytes <= instance.memoryBytes &&
      pool.stems.saves(instance.stemKind, spec) !== undefined;
    if (!isCurrent(fn) || !fits) return void pool.end(instance);
    instance.origin = origin;
    fn.instances.push(instance);
    try {
      await pool.load(instance, spec);
    } catch (thrown) {
      const error = asNemoError(thrown);
      if (isCurrent(fn) && fn.spec === spec && error.blame !== 'system') {
        fn.loadFailed(error, this.options.clock.nowMs());
      }
      throw error;
    }
    if (fn.spec === spec) fn.loadSucceeded();
    if (instance.retired || !isCurrent(fn)) void pool.end(instance);
    else this.options.onChanged(fn);
  }
}

/** Some sandbox has the code and is not ending: what waits will get its turn there. */
function canServe(fn: FunctionState): boolean {
  return fn.instances.some((instance) => instance.state === 'warm' && !instance.retired);
}
