/**
 * A binary heap of timed events without an object for each. Events of the same time come out in order. The heap moves
 * only numbers: items stay where they are in `items`, whose free places are used again.
 */

export class TimerHeap<T> {
  private times = new Float64Array(1024);
  private sequences = new Float64Array(1024);
  private places = new Int32Array(1024);
  private readonly items: Array<T | undefined> = [];
  private readonly free: number[] = [];
  private counter = 0;
  size = 0;

  /** Infinity when empty. */
  get nextMs(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.times[0]!;
  }

  /** The next one to come out; undefined when empty. */
  get first(): T | undefined {
    return this.size === 0 ? undefined : this.items[this.places[0]!];
  }

  push(timeMs: number, item: T): void {
    if (this.size === this.times.length) this.grow();
    const place = this.free.pop() ?? this.items.length;
    this.items[place] = item;
    const { times, sequences, places } = this;
    let at = this.size++;
    for (let parent = (at - 1) >> 1; at > 0 && times[parent]! > timeMs; parent = (at - 1) >> 1) {
      times[at] = times[parent]!;
      sequences[at] = sequences[parent]!;
      places[at] = places[parent]!;
      at = parent;
    }
    times[at] = timeMs;
    sequences[at] = this.counter++;
    places[at] = place;
  }

  pop(): T {
    const { times, sequences, places, items } = this;
    const top = places[0]!;
    const item = items[top]!;
    items[top] = undefined;
    this.free.push(top);
    const last = --this.size;
    const time = times[last]!;
    const sequence = sequences[last]!;
    let at = 0;
    for (let child = 1; child < last; child = 2 * at + 1) {
      const other = child + 1;
      if (other < last && before(times[other]!, sequences[other]!, times[child]!, sequences[child]!)) child++;
      if (!before(times[child]!, sequences[child]!, time, sequence)) break;
      times[at] = times[child]!;
      sequences[at] = sequences[child]!;
      places[at] = places[child]!;
      at = child;
    }
    times[at] = time;
    sequences[at] = sequence;
    places[at] = places[last]!;
    return item;
  }

  private grow(): void {
    const [times, sequences, places] = [this.times, this.sequences, this.places];
    this.times = new Float64Array(this.size * 2);
    this.times.set(times);
    this.sequences = new Float64Array(this.size * 2);
    this.sequences.set(sequences);
    this.places = new Int32Array(this.size * 2);
    this.places.set(places);
  }
}

function before(time: number, sequence: number, otherTime: number, otherSequence: number): boolean {
  return time < otherTime || (time === otherTime && sequence < otherSequence);
}
