/**
 * Where the later fragments of a packet go: the way of the first, which alone has ports. Fixed memory, nothing allocated
 * on the packet path; a newer packet may take an older one's place. Easy to get wrong: a later fragment that would lie over
 * the ports of the first is an attack (RFC 1858, RFC 3128), and one that comes before the first cannot be decided.
 */

import { FLOWS } from '../../tunables/index.js';
import type { Headers } from '../headers.js';
import type { Direction } from './function.js';

/** Addresses, identification, and what else tells packets apart. */
const KEY_WORDS = 10;
/** A first fragment has at least a TCP header. */
const OFFSET_MIN_BYTES = 24;

export class FragmentTable {
  /** At `4 * entry`: the address that the first fragment was given, if it was given one. */
  readonly words: Int32Array;
  private readonly mask: number;
  private readonly keys: Int32Array;
  private readonly rewritten: Uint8Array;
  private readonly expiresMs: Float64Array;
  private readonly key = new Int32Array(KEY_WORDS);

  /** `entries`: a power of two. */
  constructor(entries: number = FLOWS.fragmentedPackets) {
    this.mask = entries - 1;
    this.words = new Int32Array(entries * 4);
    this.keys = new Int32Array(entries * KEY_WORDS);
    this.rewritten = new Uint8Array(entries);
    this.expiresMs = new Float64Array(entries);
  }

  /** The first fragment in `h` passed, with one address replaced by that in `words`, or unchanged. */
  keep(h: Headers, direction: Direction, nowMs: number, words?: Int32Array): void {
    const entry = this.place(h, direction);
    this.keys.set(this.key, entry * KEY_WORDS);
    this.expiresMs[entry] = nowMs + FLOWS.fragmentTimeoutMs;
    this.rewritten[entry] = words === undefined ? 0 : 1;
    if (words === undefined) return;
    for (let word = 0; word < 4; word++) this.words[entry * 4 + word] = words[word]!;
  }

  /** The entry of the packet whose later fragment is in `h`; -1 if its first has not passed. */
  find(h: Headers, direction: Direction, nowMs: number): number {
    if (h.fragmentOffset < OFFSET_MIN_BYTES) return -1;
    const entry = this.place(h, direction);
    if (nowMs >= this.expiresMs[entry]!) return -1;
    for (let word = 0; word < KEY_WORDS; word++) {
      if (this.keys[entry * KEY_WORDS + word] !== this.key[word]) return -1;
    }
    return entry;
  }

  isRewritten(entry: number): boolean {
    return this.rewritten[entry] === 1;
  }

  private place(h: Headers, direction: Direction): number {
    const { key } = this;
    for (let word = 0; word < 8; word++) key[word] = h.tuple[word]!;
    key[8] = h.fragmentId;
    // RFC 791: a packet is told by its protocol too; RFC 8200: it is not.
    key[9] = (direction << 16) | (h.version << 8) | (h.version === 4 ? h.protocol : 0);
    let hash = 0;
    for (let word = 0; word < KEY_WORDS; word++)
      hash = Math.imul(hash ^ key[word]!, 0x9e3779b1) ^ (hash >>> 15);
    return (hash ^ (hash >>> 16)) & this.mask;
  }
}
