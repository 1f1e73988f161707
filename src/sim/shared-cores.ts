/**
 * Starts that share the function cores: each needs so much work, and all get the same part of what there is. Ten
 * sandboxes that start at once on one core are ready ten times later than one.
 */

import { TimerHeap } from '../model/timer-heap.js';

export class SharedCores<T> {
  /** Work that each start has had since it began, on one common clock. */
  private virtualMs = 0;
  private updatedMs = 0;
  private readonly waiting = new TimerHeap<T>();

  constructor(private readonly cores: number) {}

  add(nowMs: number, workMs: number, item: T): void {
    this.update(nowMs);
    this.waiting.push(this.virtualMs + workMs, item);
  }

  /** When the next start is done if no other begins. */
  get nextMs(): number {
    return this.updatedMs + Math.max(0, this.waiting.nextMs - this.virtualMs) / this.rate;
  }

  /** The one that is done at `nowMs`, which is `nextMs`. */
  pop(nowMs: number): T {
    this.virtualMs = this.waiting.nextMs;
    this.updatedMs = nowMs;
    return this.waiting.pop();
  }

  private update(nowMs: number): void {
    this.virtualMs += (nowMs - this.updatedMs) * this.rate;
    this.updatedMs = nowMs;
  }

  private get rate(): number {
    return Math.min(1, this.cores / Math.max(1, this.waiting.size));
  }
}
