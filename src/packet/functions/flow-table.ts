/**
 * Flows of bounded number, found by five-tuple in either direction, forgotten when idle. Shared by firewall, nat, lb.
 *
 *   index (open addressing, linear probing)        entries (typed arrays, an entry never moves)
 *   [ -1 | entry*2 + side | ... ]  ------------->  two keys, their hashes, timeout class, last use, user values
 *                                                  list per class, oldest first: prev/next
 *
 * An entry has two keys, its sides: 0 as the first packet had it, 1 as its answers will. Invariants: each entry in use
 * stands in the index once per side and in the list of its class once; a list is ordered by last use, so that expiry
 * looks only at its head. Easy to get wrong: `find`, `insert` and `expire` may remove expired entries and so call
 * `onRemove`; an entry number is good until the next of these calls.
 */

import { TUPLE_WORDS } from '../headers.js';

/** A key is a tuple; see headers.ts. */
export type FlowKey = Int32Array;

export interface FlowTableOptions {
  maxFlows: number;
  /** Idle time after which a flow of each class is forgotten. */
  timeoutsMs: readonly number[];
  /** Called before an entry disappears, by expiry or by `remove`. */
  onRemove?: (entry: number) => void;
}

const FREE = -1;
/** Entries that one `expire` may drop: bounds the time that one packet can take. */
const EXPIRE_BATCH = 16;
/** A younger touch does not move an entry in its list: saves the list work at high rates, costs 1 ms of timeout. */
const TOUCH_GRAIN_MS = 1;

/** `into` becomes the key of the answers to `from`. */
export function reverseTuple(from: FlowKey, into: FlowKey): void {
  for (let word = 0; word < 4; word++) {
    into[word] = from[word + 4]!;
    into[word + 4] = from[word]!;
  }
  const ports = from[8]!;
  into[8] = (ports << 16) | (ports >>> 16);
  into[9] = from[9]!;
}

/** A well mixed 32-bit hash of a tuple (MurmurHash3's rounds). */
export function hashTuple(key: FlowKey, seed: number): number {
  let hash = seed;
  for (let word = 0; word < TUPLE_WORDS; word++) {
    let k = Math.imul(key[word]!, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    hash ^= Math.imul(k, 0x1b873593);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

export class FlowTable {
  size = 0;
  readonly capacity: number;
  readonly #timeoutsMs: readonly number[];
  readonly #onRemove: ((entry: number) => void) | undefined;
  /** Per process run: a sender must not be able to aim at one bucket. */
  readonly #seed = (Math.random() * 0x100000000) | 0;

  readonly #index: Int32Array;
  readonly #mask: number;
  readonly #keys: Int32Array;
  readonly #hashes: Int32Array;
  readonly #class: Uint8Array;
  readonly #lastMs: Float64Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** Heads (oldest) and tails (newest) of the lists by class. */
  readonly #oldest: Int32Array;
  readonly #newest: Int32Array;
  #sweepDueMs = Number.NEGATIVE_INFINITY;
  /** Unused entries are chained through `#next`. */
  #free = 0;

  constructor({ maxFlows, timeoutsMs, onRemove }: FlowTableOptions) {
    this.capacity = maxFlows;
    this.#timeoutsMs = timeoutsMs;
    this.#onRemove = onRemove;
    // Two sides an entry, at most half full.
    const slots = 1 << (34 - Math.clz32(maxFlows - 1));
    this.#index = new Int32Array(slots).fill(FREE);
    this.#mask = slots - 1;
    this.#keys = new Int32Array(maxFlows * 2 * TUPLE_WORDS);
    this.#hashes = new Int32Array(maxFlows * 2);
    this.#class = new Uint8Array(maxFlows);
    this.#lastMs = new Float64Array(maxFlows);
    this.#next = Int32Array.from({ length: maxFlows }, (_, i) => (i + 1 < maxFlows ? i + 1 : FREE));
    this.#previous = new Int32Array(maxFlows).fill(FREE);
    this.#oldest = new Int32Array(timeoutsMs.length).fill(FREE);
    this.#newest = new Int32Array(timeoutsMs.length).fill(FREE);
  }

  /** `entry * 2 + side` of the live flow with this key, or -1. */
  find(key: FlowKey, nowMs: number): number {
    const hash = hashTuple(key, this.#seed);
    const index = this.#index;
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const reference = index[slot]!;
      if (reference === FREE) return -1;
      if (this.#hashes[reference] === hash && this.#sameKey(reference, key)) {
        const entry = reference >> 1;
        if (nowMs - this.#lastMs[entry]! < this.#timeoutsMs[this.#class[entry]!]!) return reference;
        this.remove(entry);
        return -1;
      }
    }
  }

  /**
   * A new entry whose sides have these keys, or -1 if the table is full. The caller has looked: neither key may be in
   * the table. Both keys equal (a flow to itself) is allowed.
   */
  insert(forward: FlowKey, reverse: FlowKey, timeoutClass: number, nowMs: number): number {
    if (this.#free === FREE) this.sweep(nowMs);
    const entry = this.#free;
    if (entry === FREE) return -1;
    this.#free = this.#next[entry]!;
    this.size++;
    this.#addSide(entry * 2, forward);
    this.#addSide(entry * 2 + 1, reverse);
    this.#append(entry, timeoutClass, nowMs);
    return entry;
  }

  /** Notes a use, and possibly another timeout class. */
  touch(entry: number, timeoutClass: number, nowMs: number): void {
    if (this.#class[entry] === timeoutClass && nowMs - this.#lastMs[entry]! < TOUCH_GRAIN_MS) return;
    this.#unlink(entry);
    this.#append(entry, timeoutClass, nowMs);
  }

  timeoutClassOf(entry: number): number {
    return this.#class[entry]!;
  }

  /** Word `word` of the key of a side. */
  keyWord(entry: number, side: number, word: number): number {
    return this.#keys[(entry * 2 + side) * TUPLE_WORDS + word]!;
  }

  /** Forgets flows that were idle too long, oldest first, at most a few. Cheap enough to be called for every packet. */
  expire(nowMs: number): void {
    if (nowMs < this.#sweepDueMs) return;
    if (this.sweep(nowMs) < EXPIRE_BATCH) this.#sweepDueMs = nowMs + TOUCH_GRAIN_MS;
  }

  /** The same at once: for a caller that needs room now. Returns how many flows were dropped. */
  sweep(nowMs: number): number {
    let dropped = 0;
    for (let list = 0; list < this.#oldest.length; list++) {
      const limit = nowMs - this.#timeoutsMs[list]!;
      while (dropped < EXPIRE_BATCH) {
        const entry = this.#oldest[list]!;
        if (entry === FREE || this.#lastMs[entry]! > limit) break;
        this.remove(entry);
        dropped++;
      }
    }
    return dropped;
  }

  remove(entry: number): void {
    this.#onRemove?.(entry);
    this.#unlink(entry);
    this.#removeSide(entry * 2);
    this.#removeSide(entry * 2 + 1);
    this.#next[entry] = this.#free;
    this.#free = entry;
    this.size--;
  }

  #sameKey(reference: number, key: FlowKey): boolean {
    const keys = this.#keys;
    const base = reference * TUPLE_WORDS;
    for (let word = TUPLE_WORDS - 1; word >= 0; word--) if (keys[base + word] !== key[word]) return false;
    return true;
  }

  #addSide(reference: number, key: FlowKey): void {
    this.#keys.set(key, reference * TUPLE_WORDS);
    const hash = hashTuple(key, this.#seed);
    this.#hashes[reference] = hash;
    let slot = hash & this.#mask;
    while (this.#index[slot] !== FREE) slot = (slot + 1) & this.#mask;
    this.#index[slot] = reference;
  }

  /** Knuth's deletion for linear probing: later references move up, so that no probe sequence is cut. */
  #removeSide(reference: number): void {
    const index = this.#index;
    const mask = this.#mask;
    let hole = this.#hashes[reference]! & mask;
    while (index[hole] !== reference) hole = (hole + 1) & mask;
    for (let slot = (hole + 1) & mask; index[slot] !== FREE; slot = (slot + 1) & mask) {
      const home = this.#hashes[index[slot]!]! & mask;
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        index[hole] = index[slot]!;
        hole = slot;
      }
    }
    index[hole] = FREE;
  }

  #append(entry: number, list: number, nowMs: number): void {
    const tail = this.#newest[list]!;
    this.#class[entry] = list;
    this.#lastMs[entry] = nowMs;
    this.#previous[entry] = tail;
    this.#next[entry] = FREE;
    this.#newest[list] = entry;
    if (tail === FREE) this.#oldest[list] = entry;
    else this.#next[tail] = entry;
  }

  #unlink(entry: number): void {
    const list = this.#class[entry]!;
    const before = this.#previous[entry]!;
    const after = this.#next[entry]!;
    if (before === FREE) this.#oldest[list] = after;
    else this.#next[before] = after;
    if (after === FREE) this.#newest[list] = before;
    else this.#previous[after] = before;
  }
}
