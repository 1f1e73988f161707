/**
 * The clock that scheduling goes by, injected so that a simulator and tests can turn it. `realClock` is the process's
 * monotonic clock; `VirtualClock` stands still until somebody moves it, and calls its timers from there.
 */

import { TimerHeap } from './timer-heap.js';

/** What `cancel` takes. Opaque: only the clock that made it knows what it is. */
export type Timer = object;

export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  nowMs(): number;
  /** Calls `run` once, as soon as `delayMs` have passed, and never before this call returns. */
  after(delayMs: number, run: () => void): Timer;
  /** Calls `run` again and again. */
  every(periodMs: number, run: () => void): Timer;
  /** No effect on a timer that is over. */
  cancel(timer: Timer | undefined): void;
}

/** Node would run at once what is further away. */
const TIMER_MAX_MS = 0x7fffffff;

/** Its timers do not keep the process alive. A delay longer than 24 days ends after 24 days. */
export const realClock: Clock = {
  nowMs: () => performance.now(),
  // Node cuts fractions off, which would be too early.
  after: (delayMs, run) => setTimeout(run, Math.min(Math.ceil(delayMs), TIMER_MAX_MS)).unref(),
  every: (periodMs, run) => setInterval(run, periodMs).unref(),
  cancel: (timer) => clearTimeout(timer as NodeJS.Timeout | undefined),
};

interface VirtualTimer {
  run: () => void;
  /** 0: it runs once. */
  periodMs: number;
  cancelled: boolean;
}

export class VirtualClock implements Clock {
  private now: number;
  private readonly timers = new TimerHeap<VirtualTimer>();

  constructor(startMs = 0) {
    this.now = startMs;
  }

  nowMs(): number {
    return this.now;
  }

  /** When the next timer is due; infinity: there is none. */
  get nextMs(): number {
    while (this.timers.size > 0 && this.timers.first!.cancelled) this.timers.pop();
    return this.timers.nextMs;
  }

  after(delayMs: number, run: () => void): Timer {
    return this.add(delayMs, { run, periodMs: 0, cancelled: false });
  }

  every(periodMs: number, run: () => void): Timer {
    return this.add(periodMs, { run, periodMs, cancelled: false });
  }

  cancel(timer: Timer | undefined): void {
    if (timer !== undefined) (timer as VirtualTimer).cancelled = true;
  }

  /** Moves to a moment without calling what is due by then. */
  moveTo(nowMs: number): void {
    this.now = Math.max(this.now, nowMs);
  }

  /** Moves to the next timer and calls it, and no other of the same moment. False: there is none. */
  runNext(): boolean {
    const dueMs = this.nextMs;
    if (dueMs === Number.POSITIVE_INFINITY) return false;
    const timer = this.timers.pop();
    this.moveTo(dueMs);
    timer.run();
    if (timer.periodMs > 0 && !timer.cancelled) this.timers.push(dueMs + timer.periodMs, timer);
    return true;
  }

  /** Moves on by so much, calling all that is due on the way, also what is set up meanwhile. */
  advance(byMs: number): void {
    const untilMs = this.now + byMs;
    while (this.nextMs <= untilMs) this.runNext();
    this.moveTo(untilMs);
  }

  private add(delayMs: number, timer: VirtualTimer): Timer {
    this.timers.push(this.now + Math.max(0, delayMs), timer);
    return timer;
  }
}
