/**
 * Calls back at the times of a schedule. What matters is the clock of the box, which may be set, and may go on while
 * the box is suspended or the agent stopped: a turn that is late comes once, however many were missed with it.
 */

import type { Cron } from 'croner';
import { CRON } from '../tunables.js';
import { nextTurnMs } from './schedule.js';

export interface TurnEvents {
  onTurn(): void;
  /** Too late to be made up for. */
  onMissed(dueMs: number): void;
}

export class Turns {
  private dueMs: number | undefined;
  private lookedMs = Date.now();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly pattern: Cron,
    private readonly events: TurnEvents,
  ) {
    this.dueMs = nextTurnMs(pattern, this.lookedMs);
    this.wait();
  }

  close(): void {
    clearTimeout(this.timer);
    this.dueMs = undefined;
  }

  private look(): void {
    const nowMs = Date.now();
    const due = this.dueMs;
    if (due === undefined) return;
    // Set back: what was to come is further away than it should be.
    if (nowMs < this.lookedMs - CRON.setBackMinMs) this.dueMs = nextTurnMs(this.pattern, nowMs);
    else if (nowMs >= due) {
      this.dueMs = nextTurnMs(this.pattern, nowMs);
      if (nowMs - due <= CRON.lateMaxMs) this.events.onTurn();
      else this.events.onMissed(due);
    }
    this.lookedMs = nowMs;
    this.wait();
  }

  /** A timer does not go on while the box is suspended, and knows no more than 24 days. */
  private wait(): void {
    if (this.dueMs === undefined) return;
    const waitMs = Math.min(Math.max(this.dueMs - Date.now(), 0), CRON.lookMs);
    this.timer = setTimeout(() => this.look(), waitMs).unref();
  }
}
