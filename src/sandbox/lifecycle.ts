/**
 * The life of a sandbox, the same in every engine: a stem, its code, its calls, its end. The first cause of
 * the end counts: calls in flight, a load under way and later calls get that error, once. An engine adds how its sandbox
 * is killed, what holds its calls, and how its end is described.
 *
 *   load -> invoke ... -> kill | violation | fault | its own end -> exited
 */

import type { Cgroup } from '../linux/cgroup/driver.js';
import { NemoError } from '../model/errors.js';
import { SANDBOX } from '../tunables/index.js';
import { Deferred, endError, exitError } from './ends.js';
import type { LoadOptions, SandboxExit, SandboxReply, StartOptions } from './engine.js';

export abstract class SandboxLifecycle {
  readonly id: string;
  readonly cgroup: Cgroup;
  /** Resolves when nothing of it is left. */
  abstract readonly exited: Promise<SandboxExit>;
  protected functionName = '';
  /** It takes no more calls: it was asked to end, or has ended. */
  protected ended = false;
  /** How it ended, unless somebody asked for it. */
  protected exit: SandboxExit | undefined;
  /** Why the agent itself ended it, when nobody asked for it. */
  protected violation = '';
  /** While its code is being loaded. */
  protected loading: Deferred | undefined;
  private hasFunction = false;
  private killReason: NemoError | undefined;

  constructor({ id, cgroup }: Pick<StartOptions, 'id' | 'cgroup'>) {
    this.id = id;
    this.cgroup = cgroup;
  }

  /** Ends each of its calls with an error that depends on whether the call may have begun. */
  protected abstract endCalls(errorFor: (started: boolean) => NemoError): void;
  /** Makes sure that it ends soon, whatever it does. May be called again. */
  protected abstract strike(): void;
  /** Why it ended, for example `ended with exit code 3`. */
  protected abstract wordsFor(exit: SandboxExit): string;
  /** Called if it ends before it is a stem. */
  protected endStart?(why: string): void;

  /** Gives it its function by `install`. Rejects with the engine's own error, or FUNCTION_LOAD; it is gone then. */
  protected async loadBy(options: LoadOptions, install: () => Promise<void>): Promise<void> {
    if (this.hasFunction) throw new NemoError('INTERNAL', `${this.id} already has a function`);
    this.hasFunction = true;
    this.functionName = options.ref.key;
    try {
      if (this.ended) throw this.endError('ended before the code was loaded', true);
      await install();
    } catch (error) {
      // Half loaded code must never be called.
      await this.kill();
      if (error instanceof NemoError) throw error;
      const { message } = error as Error;
      throw new NemoError('FUNCTION_LOAD', `${this.functionName} cannot be read: ${message}`, {
        cause: error,
      });
    }
  }

  /** Has its code loaded by `ask`, and waits for the outcome. Rejects with BAD_FUNCTION or FUNCTION_LOAD. */
  protected async loaded(options: LoadOptions, ask: () => Promise<void>): Promise<void> {
    const { ref, timeoutMs } = options;
    const loading = new Deferred();
    this.loading = loading;
    const withinMs = Math.max(timeoutMs, SANDBOX.loadTimeoutMs);
    try {
      await ask();
      await loading.within(
        withinMs,
        () =>
          new NemoError('FUNCTION_LOAD', `${ref.key} was not loaded within ${withinMs} ms`, {
            hint: 'do less when the module is loaded',
          }),
      );
    } finally {
      this.loading = undefined;
    }
  }

  onLoaded(): void {
    this.loading?.resolve();
  }

  onLoadFailed(error: NemoError): void {
    this.loading?.reject(error);
  }

  /** For a call that came too late. It can go elsewhere. */
  protected refuse(reply: SandboxReply): void {
    const { exit } = this;
    const late = exit === undefined ? this.endError('had already ended', false) : this.exitError(exit, false);
    reply.onError(this.killReason ?? late);
  }

  /** Resolves when nothing of it is left. Its calls end with `reason`, if there is one. */
  async kill(reason?: NemoError): Promise<void> {
    if (!this.ended) {
      this.ended = true;
      this.killReason = reason;
      this.endCalls((started) => reason ?? this.endError('was ended', started));
      this.loading?.reject(reason ?? this.endError('was ended while its code was being loaded', true));
      this.endStart?.('it was ended');
    }
    this.strike();
    await this.exited;
  }

  /** It broke a rule: it ends, and the errors of its calls name the rule. */
  onViolation(reason: string): void {
    if (this.violation === '') this.violation = reason;
    this.strike();
  }

  /** What it did could not be handled: its calls get that error, and later ones go elsewhere. */
  onFault(error: NemoError): void {
    if (this.ended) return;
    void this.kill(error);
    this.killReason = undefined;
  }

  /** It ended by itself. True if a call that had begun failed because of it: its error then has the reason. */
  protected endedBy(exit: SandboxExit): boolean {
    if (this.ended) return true;
    this.ended = true;
    this.exit = exit;
    let told = false;
    this.endCalls((started) => {
      told ||= started;
      return this.exitError(exit, started);
    });
    this.loading?.reject(this.exitError(exit, true, 'FUNCTION_LOAD'));
    return told;
  }

  protected endError(what: string, started: boolean): NemoError {
    return endError(this.id, this.functionName, what, started);
  }

  protected exitError(exit: SandboxExit, started: boolean, otherwise?: 'FUNCTION_LOAD'): NemoError {
    const why = this.violation === '' ? this.wordsFor(exit) : `was ended: ${this.violation}`;
    return exitError(this.id, this.functionName, exit, why, started, otherwise);
  }
}
