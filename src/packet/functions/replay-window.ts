/**
 * Tells which sequence numbers were already seen, with a sliding bitmap (RFC 6479). Easy to get wrong: ask `fresh`
 * before the packet is authenticated and `accept` only afterwards, or a forger moves the window.
 */
export class ReplayWindow {
  readonly size: number;
  readonly #bits: Uint32Array;
  #highest = -1;

  /** `size`: how far behind the newest a number may come, a power of two from 32. */
  constructor(size: number) {
    if (size < 32 || (size & (size - 1)) !== 0) throw new RangeError('window size: a power of two from 32');
    this.size = size;
    // One word more than the window: the word that is being entered can be cleared as a whole.
    this.#bits = new Uint32Array((size >>> 5) * 2);
  }

  /** Whether `sequence` (whole, from 0, below 2^53) is new and not too old. */
  fresh(sequence: number): boolean {
    if (sequence > this.#highest) return true;
    if (this.#highest - sequence >= this.size) return false;
    return (this.#bits[this.#wordOf(sequence)]! & (1 << (sequence & 31))) === 0;
  }

  accept(sequence: number): void {
    if (sequence > this.#highest) {
      const first = Math.floor(this.#highest / 32) + 1;
      const last = Math.floor(sequence / 32);
      if (last - first >= this.#bits.length) this.#bits.fill(0);
      else for (let word = first; word <= last; word++) this.#bits[word % this.#bits.length] = 0;
      this.#highest = sequence;
    }
    const word = this.#wordOf(sequence);
    this.#bits[word] = this.#bits[word]! | (1 << (sequence & 31));
  }

  clear(): void {
    this.#bits.fill(0);
    this.#highest = -1;
  }

  #wordOf(sequence: number): number {
    return Math.floor(sequence / 32) % this.#bits.length;
  }
}
