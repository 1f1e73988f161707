/** The last moments at which something happened, to ask how often it did lately. At most 64 are remembered. */

const KEPT = 64;

export class RecentTimes {
  private times: Float64Array | undefined;
  private next = 0;

  /** Times come in order. */
  record(nowMs: number): void {
    this.times ??= new Float64Array(KEPT).fill(Number.NEGATIVE_INFINITY);
    this.times[this.next++ % KEPT] = nowMs;
  }

  /** How many were at or after `fromMs`. */
  since(fromMs: number): number {
    let count = 0;
    for (; count < KEPT && this.at(count) >= fromMs; count++);
    return count;
  }

  /** The first of those, or infinity. */
  oldestSince(fromMs: number): number {
    const count = this.since(fromMs);
    return count === 0 ? Number.POSITIVE_INFINITY : this.at(count - 1);
  }

  /** The newest is 0. */
  private at(back: number): number {
    if (this.times === undefined || back >= this.next) return Number.NEGATIVE_INFINITY;
    return this.times[(this.next - 1 - back) % KEPT]!;
  }
}
