/**
 * Longest-prefix match by a multibit trie with expanded prefixes: the first 16 bits of the address index the root, each
 * further byte one node of 256 slots. A lookup reads at most 3 words for IPv4, 15 for IPv6, mostly 1 to 3. Easy to get
 * wrong: a slot holds a route's value (>= 0), NO_ROUTE (-1), or a node as -2 - number.
 */

import type { Prefix } from '../address.js';

export const NO_ROUTE = -1;
const ROOT_SLOTS = 65_536;
const NODE_SLOTS = 256;

export class LpmTable {
  #slots = new Int32Array(ROOT_SLOTS + 16 * NODE_SLOTS).fill(NO_ROUTE);
  #nodes = 0;

  /** Routes of one IP version; of equal prefixes the last one counts. `value` >= 0. */
  constructor(routes: ReadonlyArray<{ prefix: Prefix; value: number }>) {
    // Shorter ones first: a longer one overwrites its part of the expansion.
    for (const { prefix, value } of [...routes].sort((a, b) => a.prefix.bits - b.prefix.bits))
      this.#add(prefix, value);
  }

  /** The value for the address in `words[from..]` (tuple words), or NO_ROUTE. */
  lookup(words: Int32Array, from: number): number {
    const slots = this.#slots;
    let slot = slots[words[from]! >>> 16]!;
    for (let byte = 2; slot < NO_ROUTE; byte++) {
      const value = (words[from + (byte >> 2)]! >>> (24 - ((byte & 3) << 3))) & 0xff;
      slot = slots[ROOT_SLOTS + (-2 - slot) * NODE_SLOTS + value]!;
    }
    return slot;
  }

  #add({ words, bits }: Prefix, value: number): void {
    let base = 0;
    let index = words[0]! >>> 16;
    let depth = 16;
    let width = 16;
    while (bits > depth) {
      base = this.#child(base + index);
      const byte = depth >> 3;
      index = (words[byte >> 2]! >>> (24 - ((byte & 3) << 3))) & 0xff;
      depth += 8;
      width = 8;
    }
    const span = 1 << Math.min(depth - bits, width);
    this.#slots.fill(value, base + index, base + index + span);
  }

  /** First slot of the node below `at`, which is made if it is not there. */
  #child(at: number): number {
    const held = this.#slots[at]!;
    if (held < NO_ROUTE) return ROOT_SLOTS + (-2 - held) * NODE_SLOTS;
    const base = ROOT_SLOTS + this.#nodes * NODE_SLOTS;
    if (base + NODE_SLOTS > this.#slots.length) {
      const larger = new Int32Array(this.#slots.length * 2).fill(NO_ROUTE, this.#slots.length);
      larger.set(this.#slots);
      this.#slots = larger;
    }
    // The shorter route above stays valid for what the node does not refine.
    this.#slots.fill(held, base, base + NODE_SLOTS);
    this.#slots[at] = -2 - this.#nodes++;
    return base;
  }
}
