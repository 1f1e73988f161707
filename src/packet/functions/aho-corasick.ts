/**
 * Many byte patterns found in one pass: Aho and Corasick, "Efficient String Matching", CACM 1975, as a complete
 * automaton (no failure steps at run time). Bytes that occur in no pattern share one column, which keeps the table
 * small. Easy to get wrong: a state may end several patterns; `firstHit` and `nextHit` walk them all.
 */
export class AhoCorasick {
  readonly states: number;
  readonly #classOf = new Uint8Array(256);
  readonly #classes: number;
  /** state * classes + class -> state * classes: already multiplied, one addition a byte. */
  readonly #next: Int32Array;
  /** At state * classes: 1 if patterns end here. */
  readonly #ends: Uint8Array;
  /** By state: a pattern that ends here, or -1; then the state whose hits follow, or 0. */
  readonly #hit: Int32Array;
  readonly #chain: Int32Array;

  /** Patterns of at least one byte, all different. `ignoreCase` folds ASCII letters. */
  constructor(patterns: readonly Uint8Array[], ignoreCase = false) {
    const used = new Set<number>();
    for (const pattern of patterns) for (const byte of pattern) used.add(ignoreCase ? lower(byte) : byte);
    this.#classes = used.size + 1;
    [...used].forEach((byte, i) => {
      this.#classOf[byte] = i + 1;
    });
    if (ignoreCase) for (let byte = 65; byte <= 90; byte++) this.#classOf[byte] = this.#classOf[byte + 32]!;

    const most = patterns.reduce((sum, pattern) => sum + pattern.length, 1);
    const next = new Int32Array(most * this.#classes);
    this.#hit = new Int32Array(most).fill(-1);
    this.#chain = new Int32Array(most);
    let states = 1;
    patterns.forEach((pattern, number) => {
      let state = 0;
      for (const byte of pattern) {
        const at = state * this.#classes + this.#classOf[byte]!;
        if (next[at] === 0) next[at] = states++;
        state = next[at]!;
      }
      this.#hit[state] = number;
    });
    this.states = states;
    this.#complete(next);
    this.#next = next.subarray(0, states * this.#classes).map((state) => state * this.#classes);
    this.#ends = new Uint8Array(states * this.#classes);
    for (let state = 1; state < states; state++)
      if (this.firstHit(state) !== 0) this.#ends[state * this.#classes] = 1;
  }

  /** Breadth first: a state's failure state is shallower and already complete. */
  #complete(next: Int32Array): void {
    const classes = this.#classes;
    const fail = new Int32Array(this.states);
    const queue: number[] = [0];
    for (let at = 0; at < queue.length; at++) {
      const state = queue[at]!;
      const fallback = fail[state]!;
      this.#chain[state] = this.#hit[fallback]! >= 0 ? fallback : this.#chain[fallback]!;
      for (let symbol = 0; symbol < classes; symbol++) {
        const cell = state * classes + symbol;
        const child = next[cell]!;
        const other = state === 0 ? 0 : next[fallback * classes + symbol]!;
        if (child === 0) next[cell] = other;
        else {
          fail[child] = other;
          queue.push(child);
        }
      }
    }
  }

  /**
   * Reads `bytes[start..end)`; `onState` gets each state that ends patterns and returns false to stop. Returns true if
   * it was stopped.
   */
  scan(bytes: Uint8Array, start: number, end: number, onState: (state: number) => boolean): boolean {
    const next = this.#next;
    const classOf = this.#classOf;
    const ends = this.#ends;
    let cursor = 0;
    for (let i = start; i < end; i++) {
      cursor = next[cursor + classOf[bytes[i]!]!]!;
      if (ends[cursor] !== 0 && !onState(cursor / this.#classes)) return true;
    }
    return false;
  }

  /** The state in the chain of `state` (itself included) that ends a pattern, or 0. */
  firstHit(state: number): number {
    return this.#hit[state]! >= 0 ? state : this.#chain[state]!;
  }

  nextHit(state: number): number {
    return this.#chain[state]!;
  }

  /** The pattern that ends exactly at a state from `firstHit` or `nextHit`. */
  patternAt(state: number): number {
    return this.#hit[state]!;
  }
}

function lower(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte;
}
