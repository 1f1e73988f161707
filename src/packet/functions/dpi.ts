/**
 * Deep packet inspection: all patterns are searched for in each packet's payload at once; a pattern either drops the
 * packet or counts it. Easy to get wrong: packets are seen one by one, so a pattern cut by a segment boundary is missed.
 *
 * Configuration: patterns: [{ name, text | hex, action: drop | count }], ignoreCase. The default has a few well-known
 * attack strings and only counts. Each pattern has a counter `match:<name>`: packets in which it was found.
 */

import { BAD_L4, FRAGMENT, Headers, NOT_IP, parseHeaders } from '../headers.js';
import { AhoCorasick } from './aho-corasick.js';
import { ConfigReader } from './config.js';
import { type Direction, DROP, type NetworkFunction } from './function.js';

const DEFAULT_PATTERNS = [
  { name: 'eicar', text: 'EICAR-STANDARD-ANTIVIRUS-TEST-FILE' },
  { name: 'shellshock', text: '() { :;};' },
  { name: 'log4shell', text: '${jndi:' },
  { name: 'path-traversal', text: '../../' },
  { name: 'passwd', text: '/etc/passwd' },
  { name: 'sql-union', text: 'UNION SELECT' },
  { name: 'script-tag', text: '<script>' },
  { name: 'nop-sled', hex: '90909090909090909090909090909090' },
];

interface Pattern {
  bytes: Uint8Array;
  counter: string;
  drop: boolean;
}

export class Dpi implements NetworkFunction {
  readonly name = 'dpi';
  readonly counters: Record<string, number> & { forwarded: number; dropped: number } = {
    forwarded: 0,
    dropped: 0,
    broken: 0,
    nonIp: 0,
    matched: 0,
  };
  readonly #headers = new Headers();
  readonly #patterns: Pattern[];
  readonly #automaton: AhoCorasick;
  /** Number of the last packet in which a pattern was found: each counts once a packet. */
  readonly #lastPacket: Float64Array;
  #packet = 0;
  #drop = false;
  #hits = 0;

  constructor(config: unknown) {
    const reader = new ConfigReader('dpi', config);
    const seen = new Set<string>();
    const ignoreCase = reader.boolean('ignoreCase', false);
    this.#patterns = reader.list('patterns', DEFAULT_PATTERNS).map((pattern) => {
      const read = readPattern(pattern);
      const bytes = Buffer.from(read.bytes).toString('latin1');
      const folded = ignoreCase ? bytes.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : bytes;
      if (seen.has(folded))
        pattern.fail(pattern.has('hex') ? 'hex' : 'text', 'a pattern that is not there yet');
      seen.add(folded);
      this.counters[read.counter] = 0;
      return read;
    });
    reader.end();
    this.#automaton = new AhoCorasick(
      this.#patterns.map(({ bytes }) => bytes),
      ignoreCase,
    );
    this.#lastPacket = new Float64Array(this.#patterns.length);
  }

  process(frame: Uint8Array, length: number, _direction: Direction, _nowMs: number): number {
    const forward = this.#inspect(frame, length);
    if (forward) this.counters.forwarded++;
    else this.counters.dropped++;
    return forward ? length : DROP;
  }

  #inspect(frame: Uint8Array, length: number): boolean {
    const h = this.#headers;
    const code = parseHeaders(frame, length, h);
    if (code === NOT_IP) {
      this.counters.nonIp!++;
      return true;
    }
    // A later fragment is searched too: all of it is payload.
    if (code >= BAD_L4 && code !== FRAGMENT) {
      this.counters.broken!++;
      return false;
    }
    this.#packet++;
    this.#drop = false;
    this.#hits = 0;
    this.#automaton.scan(frame, h.payloadOffset, h.payloadEnd, this.#onState);
    if (this.#hits > 0) this.counters.matched!++;
    return !this.#drop;
  }

  readonly #onState = (state: number): boolean => {
    const automaton = this.#automaton;
    for (let hit = automaton.firstHit(state); hit !== 0; hit = automaton.nextHit(hit)) {
      const number = automaton.patternAt(hit);
      this.#hits++;
      if (this.#lastPacket[number] === this.#packet) continue;
      this.#lastPacket[number] = this.#packet;
      const pattern = this.#patterns[number]!;
      this.counters[pattern.counter]!++;
      if (pattern.drop) this.#drop = true;
    }
    return !this.#drop;
  };
}

function readPattern(config: ConfigReader): Pattern {
  if (config.has('text') === config.has('hex')) config.fail('text', 'either text or hex');
  const hex = config.has('hex');
  const given = config.text(hex ? 'hex' : 'text', undefined);
  if (hex && !/^([0-9a-f]{2})+$/i.test(given)) config.fail('hex', 'pairs of hexadecimal digits');
  const name = config.text('name', given);
  const drop = config.choice('action', 'count', ['drop', 'count']) === 'drop';
  config.end();
  return { bytes: Buffer.from(given, hex ? 'hex' : 'utf8'), counter: `match:${name}`, drop };
}
