/** When a schedule comes, by the box's clock, whatever becomes of that; and thousands of schedules beside all other work. */

import { CRON } from '../tunables/index.js';
import type { CronTimes } from './cron-times.js';

/**
 * Clocks whose time has come look one after the other, and most of the time is left to others: thousands of schedules may
 * come in the same moment, each second. One that comes late calls late, and once for all turns that were passed over.
 */
export class DueClocks {
  private readonly due = new Set<CronClock>();
  private resting = false;

  add(clock: CronClock): void {
    this.due.add(clock);
    if (!this.resting) this.run();
  }

  delete(clock: CronClock): void {
    this.due.delete(clock);
  }

  private run(): void {
    const fromMs = performance.now();
    let spentMs = 0;
    for (const clock of this.due) {
      this.due.delete(clock);
      clock.look();
      spentMs = performance.now() - fromMs;
      if (spentMs >= CRON.atOnceMs) break;
    }
    // Also after a single one: those of the same moment follow in turns of their own.
    this.resting = true;
    setTimeout(() => {
      this.resting = false;
      if (this.due.size > 0) this.run();
    }, spentMs * CRON.restTimes).unref();
  }
}

/**
 * Wakes for each turn, and every minute to look at the box's clock, which may be set. Set forward, or after a sleep, one turn
 * stands for all that were passed over. Set back, what has come does not come again; beyond a few hours the new time counts.
 */
export class CronClock {
  private timer: NodeJS.Timeout | undefined;
  private due: Date | undefined;
  private lookedMs = Date.now();

  constructor(
    private readonly turns: CronTimes,
    private readonly turn: (due: Date) => void,
    private readonly others: DueClocks,
  ) {
    this.due = turns.next(new Date());
    this.wait();
  }

  close(): void {
    clearTimeout(this.timer);
    this.others.delete(this);
    this.turns.close();
  }

  private wait(): void {
    const leftMs = this.due === undefined ? CRON.lookMs : this.due.getTime() - Date.now();
    this.timer = setTimeout(() => this.others.add(this), Math.min(CRON.lookMs, Math.max(0, leftMs))).unref();
  }

  /** `DueClocks` calls it. */
  look(): void {
    const now = new Date();
    const setBackMs = this.lookedMs - now.getTime();
    this.lookedMs = now.getTime();
    if (setBackMs > CRON.setBackMs || (setBackMs > 0 && this.turns.often)) this.due = this.turns.next(now);
    const { due } = this;
    if (due !== undefined && due <= now) {
      this.due = this.turns.next(now);
      this.turn(due);
    }
    this.wait();
  }
}
