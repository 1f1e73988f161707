/**
 * Wakes the dispatcher when something is due that nothing else would tell it of: a deadline, the end of a wait. It is told
 * of each moment that may matter and keeps one timer, at the earliest.
 */

import type { Clock, Timer } from '../model/clock.js';

export class Due {
  private atMs = Number.POSITIVE_INFINITY;
  private timer: Timer | undefined;
  private stopped = false;

  /** `look`: called when the moment has come, and says of the next ones by `at`. */
  constructor(
    private readonly clock: Clock,
    private readonly look: (nowMs: number) => void,
  ) {}

  at(dueMs: number): void {
    if (!(dueMs < this.atMs) || this.stopped) return;
    this.atMs = dueMs;
    this.clock.cancel(this.timer);
    this.timer = this.clock.after(Math.max(0, dueMs - this.clock.nowMs()), this.ring);
  }

  stop(): void {
    this.stopped = true;
    this.clock.cancel(this.timer);
  }

  private readonly ring = (): void => {
    const dueMs = this.atMs;
    this.atMs = Number.POSITIVE_INFINITY;
    const nowMs = this.clock.nowMs();
    // A timer may ring a little early.
    if (nowMs < dueMs) this.at(dueMs);
    else this.look(nowMs);
  };
}
