/** When things are to be looked at again: for each the earliest moment that was asked for since it was last due. */

import { TimerHeap } from '../model/timer-heap.js';

export class ReviewTimes<T extends object> {
  private readonly heap = new TimerHeap<T>();
  private readonly times = new Map<T, number>();

  /** A later moment than the one that stands is not noted: it will be asked for again when that one is due. */
  at(item: T, timeMs: number): void {
    if (timeMs === Number.POSITIVE_INFINITY || timeMs >= (this.times.get(item) ?? Number.POSITIVE_INFINITY))
      return;
    this.times.set(item, timeMs);
    this.heap.push(timeMs, item);
  }

  /** Infinity: nothing is to be looked at. */
  get nextMs(): number {
    this.skip();
    return this.heap.nextMs;
  }

  /** One whose moment has come; undefined: none. */
  due(nowMs: number): T | undefined {
    if (this.nextMs > nowMs) return undefined;
    const item = this.heap.pop();
    this.times.delete(item);
    return item;
  }

  /** An earlier moment was asked for after these. */
  private skip(): void {
    while (this.heap.size > 0 && this.times.get(this.heap.first!) !== this.heap.nextMs) this.heap.pop();
  }
}
