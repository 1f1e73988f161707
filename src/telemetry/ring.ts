/** A list that forgets its oldest entry when full. Reading copies: a reader never sees the ring move. */
export class Ring<T> {
  private readonly slots: T[] = [];
  private next = 0;

  constructor(readonly capacity: number) {}

  get length(): number {
    return this.slots.length;
  }

  /** Returns the entry that had to go. */
  push(entry: T): T | undefined {
    if (this.slots.length < this.capacity) {
      this.slots.push(entry);
      return undefined;
    }
    const oldest = this.slots[this.next];
    this.slots[this.next] = entry;
    this.next = (this.next + 1) % this.capacity;
    return oldest;
  }

  /** The newest `count` entries, oldest first. */
  last(count: number): T[] {
    const wanted = Math.min(Math.max(0, Math.floor(count)), this.slots.length);
    const result: T[] = [];
    for (let i = this.slots.length - wanted; i < this.slots.length; i++) {
      result.push(this.slots[(this.next + i) % this.slots.length]!);
    }
    return result;
  }
}
