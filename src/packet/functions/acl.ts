/**
 * An ordered access list over five-tuples, IPv4 and IPv6: the first rule that fits decides. Rules are compiled into
 * rows of one Int32Array, so that a search reads memory in order. Easy to get wrong: a rule with ports fits TCP and
 * UDP only, and one with an address fits packets of that address's IP version only.
 */

import { maskWord, type Prefix } from '../address.js';
import { type Headers, L4_TCP, L4_UDP } from '../headers.js';
import type { ConfigReader } from './config.js';
import type { Direction } from './function.js';

export interface AclRule {
  action: 'allow' | 'deny';
  /** `out` is direction 0. */
  direction: 'out' | 'in' | 'both';
  protocol: 'any' | 'tcp' | 'udp' | 'icmp';
  source?: Prefix | undefined;
  destination?: Prefix | undefined;
  sourcePorts?: { low: number; high: number } | undefined;
  destinationPorts?: { low: number; high: number } | undefined;
}

export const NO_MATCH = -1;
export const DENY = 0;
export const ALLOW = 1;

/** Row: action, direction, version (-1 any of the two), protocol, ports (low, high, low, high), addresses and masks. */
const DIRECTION = 1;
const VERSION = 2;
const PROTOCOL = 3;
const PORTS = 4;
const ADDRESSES = 8;
const MASKS = 16;
const ROW = 24;
const ANY = -1;

export function readRule(config: ConfigReader): AclRule {
  const rule: AclRule = {
    action: config.choice('action', 'deny', ['allow', 'deny']),
    direction: config.choice('direction', 'both', ['out', 'in', 'both']),
    protocol: config.choice('protocol', 'any', ['any', 'tcp', 'udp', 'icmp']),
    source: config.prefix('source'),
    destination: config.prefix('destination'),
    sourcePorts: config.ports('sourcePorts'),
    destinationPorts: config.ports('destinationPorts'),
  };
  const { source, destination } = rule;
  if (source !== undefined && destination !== undefined && source.version !== destination.version) {
    config.fail('destination', 'the same IP version as in source');
  }
  if (rule.protocol === 'icmp' && (rule.sourcePorts ?? rule.destinationPorts) !== undefined) {
    config.fail('protocol', 'tcp or udp, because the rule names ports');
  }
  config.end();
  return rule;
}

export class Acl {
  readonly #rows: Int32Array;
  readonly #count: number;

  constructor(rules: readonly AclRule[]) {
    this.#count = rules.length;
    this.#rows = new Int32Array(rules.length * ROW);
    rules.forEach((rule, i) => {
      this.#rows.set(compile(rule), i * ROW);
    });
  }

  /** ALLOW, DENY or NO_MATCH for a parsed packet. */
  match(h: Headers, direction: Direction): number {
    const rows = this.#rows;
    const tuple = h.tuple;
    const hasPorts = h.l4Kind === L4_TCP || h.l4Kind === L4_UDP;
    const sourcePort = tuple[8]! >>> 16;
    const destinationPort = tuple[8]! & 0xffff;
    const icmp = h.version === 4 ? 1 : 58;
    const end = this.#count * ROW;
    next: for (let row = 0; row < end; row += ROW) {
      const ruleDirection = rows[row + DIRECTION]!;
      if (ruleDirection !== ANY && ruleDirection !== direction) continue;
      const version = rows[row + VERSION]!;
      if (version !== ANY && version !== h.version) continue;
      const protocol = rows[row + PROTOCOL]!;
      if (protocol !== ANY && (protocol === 1 ? icmp : protocol) !== h.protocol) continue;
      if (rows[row + PORTS] !== ANY) {
        if (!hasPorts) continue;
        if (sourcePort < rows[row + PORTS]! || sourcePort > rows[row + PORTS + 1]!) continue;
        if (destinationPort < rows[row + PORTS + 2]! || destinationPort > rows[row + PORTS + 3]!) continue;
      }
      if (version !== ANY) {
        for (let word = 0; word < 8; word++) {
          if ((tuple[word]! & rows[row + MASKS + word]!) !== rows[row + ADDRESSES + word]) continue next;
        }
      }
      return rows[row]!;
    }
    return NO_MATCH;
  }
}

function compile(rule: AclRule): Int32Array {
  const row = new Int32Array(ROW);
  row[0] = rule.action === 'allow' ? ALLOW : DENY;
  row[DIRECTION] = rule.direction === 'both' ? ANY : rule.direction === 'out' ? 0 : 1;
  row[VERSION] = rule.source?.version ?? rule.destination?.version ?? ANY;
  row[PROTOCOL] = { any: ANY, tcp: 6, udp: 17, icmp: 1 }[rule.protocol];
  if (rule.sourcePorts === undefined && rule.destinationPorts === undefined) row[PORTS] = ANY;
  else {
    const all = { low: 0, high: 0xffff };
    const source = rule.sourcePorts ?? all;
    const destination = rule.destinationPorts ?? all;
    row.set([source.low, source.high, destination.low, destination.high], PORTS);
  }
  [rule.source, rule.destination].forEach((prefix, side) => {
    if (prefix === undefined) return;
    for (let word = 0; word < 4; word++) {
      row[ADDRESSES + side * 4 + word] = prefix.words[word]!;
      row[MASKS + side * 4 + word] = maskWord(prefix.bits, word);
    }
  });
  return row;
}
