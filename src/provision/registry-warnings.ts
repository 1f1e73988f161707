/**
 * What is wrong with functions in the store, in words. It is shown to everybody who looks, and others may write the store:
 * at the start and in each interval after it, only so many are told of.
 */

import { FUNCTION_LIMITS } from '../tunables/index.js';

export class RegistryWarnings {
  /** Of the start. */
  readonly first: string[] = [];
  /** Beyond those. */
  private unnamed = 0;
  private started = false;
  private count = 0;
  private sinceMs = 0;

  constructor(private readonly onLater: ((message: string) => void) | undefined) {}

  /** All that comes now is told as it comes. */
  endStart(): void {
    this.started = true;
    if (this.unnamed > 0) this.first.push(`${this.unnamed} more functions of the store are not used`);
  }

  warn(message: string): void {
    if (!this.started) {
      if (this.first.length < FUNCTION_LIMITS.restoreWarningsMax) this.first.push(message);
      else this.unnamed++;
      return;
    }
    const nowMs = performance.now();
    if (nowMs - this.sinceMs > FUNCTION_LIMITS.warningsEveryMs) {
      this.count = 0;
      this.sinceMs = nowMs;
    }
    if (++this.count <= FUNCTION_LIMITS.restoreWarningsMax) this.onLater?.(message);
  }
}
