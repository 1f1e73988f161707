/** A trace of calls, in memory as columns: sixteen million calls take 320 MB. Arrivals are in order. */

export interface Trace {
  readonly functionNames: readonly string[];
  /** Index into `functionNames`. */
  readonly functions: Int32Array;
  readonly arrivalsMs: Float64Array;
  readonly durationsMs: Float64Array;
}

/** Columns that grow; `finish` sorts by arrival, starts at 0 and divides all times by `scale`. */
export class TraceBuilder {
  private readonly indexes = new Map<string, number>();
  private functions = new Int32Array(1024);
  private arrivalsMs = new Float64Array(1024);
  private durationsMs = new Float64Array(1024);
  count = 0;

  add(functionName: string, arrivalMs: number, durationMs: number): void {
    let index = this.indexes.get(functionName);
    if (index === undefined) {
      index = this.indexes.size;
      this.indexes.set(functionName, index);
    }
    if (this.count === this.functions.length) {
      this.functions = grown(this.functions, new Int32Array(this.count * 2));
      this.arrivalsMs = grown(this.arrivalsMs, new Float64Array(this.count * 2));
      this.durationsMs = grown(this.durationsMs, new Float64Array(this.count * 2));
    }
    this.functions[this.count] = index;
    this.arrivalsMs[this.count] = arrivalMs;
    this.durationsMs[this.count++] = durationMs;
  }

  finish(scale = 1): Trace {
    const { count } = this;
    const order = new Uint32Array(count);
    for (let i = 0; i < count; i++) order[i] = i;
    order.sort((a, b) => this.arrivalsMs[a]! - this.arrivalsMs[b]! || a - b);
    const firstMs = count === 0 ? 0 : this.arrivalsMs[order[0]!]!;
    return {
      functionNames: [...this.indexes.keys()],
      functions: Int32Array.from(order, (i) => this.functions[i]!),
      arrivalsMs: Float64Array.from(order, (i) => (this.arrivalsMs[i]! - firstMs) / scale),
      durationsMs: Float64Array.from(order, (i) => this.durationsMs[i]! / scale),
    };
  }
}

function grown<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
