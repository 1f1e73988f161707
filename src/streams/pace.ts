/**
 * What one peer may cost the thread that reads it: a token bucket. A peer beyond it is not read for a while, so that
 * what it sends piles up in its own buffers and it waits, while everybody else is served. The clock is looked at only
 * when the bucket is empty: a peer that stays within its grants costs two additions.
 */

import type { Valve } from './valve.js';

export class Pace {
  private tokens: number;
  private filledMs = performance.now();
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  /** `burst`: what may be spent at once, and what can be saved up. */
  constructor(
    private readonly valve: Pick<Valve, 'hold' | 'release'>,
    private readonly perSecond: number,
    private readonly burst: number = perSecond,
  ) {
    this.tokens = burst;
  }

  /** The peer was asked for something, which it may answer at no cost of its own. */
  grant(tokens: number): void {
    this.tokens = Math.min(this.tokens + tokens, this.burst);
  }

  spend(tokens: number): void {
    this.tokens -= tokens;
    if (this.tokens < 0) this.overdrawn();
  }

  /** Nothing is held back any more. */
  stop(): void {
    this.stopped = true;
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.valve.release();
  }

  private overdrawn(): void {
    if (this.stopped || this.timer !== undefined) return;
    const nowMs = performance.now();
    this.grant(((nowMs - this.filledMs) / 1_000) * this.perSecond);
    this.filledMs = nowMs;
    if (this.tokens >= 0) return;
    const waitMs = Math.ceil((-this.tokens / this.perSecond) * 1_000);
    this.valve.hold();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.valve.release();
    }, waitMs);
  }
}
