/** A binary heap of timed events without an object for each. Events of the same time come out in order. */

export class EventQueue<T> {
  private times = new Float64Array(1024);
  private sequences = new Float64Array(1024);
  private readonly items: T[] = [];
  private counter = 0;
  size = 0;

  /** Infinity when empty. */
  get nextMs(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.times[0]!;
  }

  push(timeMs: number, item: T): void {
    if (this.size === this.times.length) {
      const [times, sequences] = [this.times, this.sequences];
      this.times = new Float64Array(this.size * 2);
      this.times.set(times);
      this.sequences = new Float64Array(this.size * 2);
      this.sequences.set(sequences);
    }
    let at = this.size++;
    const sequence = this.counter++;
    for (let parent = (at - 1) >> 1; at > 0 && this.times[parent]! > timeMs; parent = (at - 1) >> 1) {
      this.put(at, this.times[parent]!, this.sequences[parent]!, this.items[parent]!);
      at = parent;
    }
    this.put(at, timeMs, sequence, item);
  }

  pop(): T {
    const top = this.items[0]!;
    const last = --this.size;
    const [time, sequence, item] = [this.times[last]!, this.sequences[last]!, this.items[last]!];
    this.items.length = last;
    if (last === 0) return top;
    let at = 0;
    for (let child = 1; child < last; child = 2 * at + 1) {
      if (child + 1 < last && this.before(child + 1, this.times[child]!, this.sequences[child]!)) child++;
      if (!this.before(child, time, sequence)) break;
      this.put(at, this.times[child]!, this.sequences[child]!, this.items[child]!);
      at = child;
    }
    this.put(at, time, sequence, item);
    return top;
  }

  private before(index: number, time: number, sequence: number): boolean {
    const other = this.times[index]!;
    return other < time || (other === time && this.sequences[index]! < sequence);
  }

  private put(at: number, time: number, sequence: number, item: T): void {
    this.times[at] = time;
    this.sequences[at] = sequence;
    this.items[at] = item;
  }
}
