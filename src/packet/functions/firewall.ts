/**
 * A stateful firewall: the first packet of a flow asks the access list, the rest of the flow and its answers pass by
 * the flow table, and so do ICMP errors about it. With an empty configuration the inside may open flows, the outside may only answer. Easy to get
 * wrong: an answer must come from the other port than the flow's first packet, or it is a flow of its own.
 *
 * Configuration: rules (see acl.ts), defaultOut, defaultIn: allow | deny, nonIp: allow | deny, maxFlows, timeouts.
 */

import { FRAGMENT, Headers, NOT_IP, OK, parseHeaders, TUPLE_WORDS } from '../headers.js';
import { parseIcmpError } from '../icmp-error.js';
import { Acl, ALLOW, DENY, NO_MATCH, readRule } from './acl.js';
import { ConfigReader } from './config.js';
import { flowClass, readMaxFlows, readTimeouts } from './flow-class.js';
import { FlowTable, reverseTuple } from './flow-table.js';
import { FragmentTable } from './fragments.js';
import { type Direction, DROP, type NetworkFunction } from './function.js';

/** The bit of a key's last word that says from which port the packet came. */
const DIRECTION_BIT = 16;

export class Firewall implements NetworkFunction {
  readonly name = 'firewall';
  readonly counters = {
    forwarded: 0,
    dropped: 0,
    broken: 0,
    /** Later ones of packets whose first did not pass. */
    fragments: 0,
    denied: 0,
    nonIp: 0,
    flowsOpened: 0,
    /** ICMP errors about a flow in the table. */
    related: 0,
    tableFull: 0,
  };
  readonly #headers = new Headers();
  readonly #quoted = new Headers();
  readonly #reverse = new Int32Array(TUPLE_WORDS);
  readonly #acl: Acl;
  readonly #flows: FlowTable;
  readonly #fragments = new FragmentTable();
  readonly #defaultOut: number;
  readonly #defaultIn: number;
  readonly #passNonIp: boolean;

  constructor(config: unknown) {
    const reader = new ConfigReader('firewall', config);
    this.#acl = new Acl(reader.list('rules', []).map(readRule));
    this.#defaultOut = reader.choice('defaultOut', 'allow', ['allow', 'deny']) === 'allow' ? ALLOW : DENY;
    this.#defaultIn = reader.choice('defaultIn', 'deny', ['allow', 'deny']) === 'allow' ? ALLOW : DENY;
    this.#passNonIp = reader.choice('nonIp', 'allow', ['allow', 'deny']) === 'allow';
    this.#flows = new FlowTable({ maxFlows: readMaxFlows(reader), timeoutsMs: readTimeouts(reader) });
    reader.end();
  }

  /** Flows in the table now. */
  get flows(): number {
    return this.#flows.size;
  }

  process(frame: Uint8Array, length: number, direction: Direction, nowMs: number): number {
    const counters = this.counters;
    const forward = this.#decide(frame, length, direction, nowMs);
    if (forward) counters.forwarded++;
    else counters.dropped++;
    if (forward && this.#headers.fragment === 1) this.#fragments.keep(this.#headers, direction, nowMs);
    return forward ? length : DROP;
  }

  #decide(frame: Uint8Array, length: number, direction: Direction, nowMs: number): boolean {
    const h = this.#headers;
    const code = parseHeaders(frame, length, h);
    if (code !== OK) {
      if (code === NOT_IP) {
        this.counters.nonIp++;
        return this.#passNonIp;
      }
      if (code !== FRAGMENT) {
        this.counters.broken++;
        return false;
      }
      if (this.#fragments.find(h, direction, nowMs) >= 0) return true;
      this.counters.fragments++;
      return false;
    }
    const flows = this.#flows;
    flows.expire(nowMs);
    const tuple = h.tuple;
    tuple[9] = tuple[9]! | (direction << DIRECTION_BIT);
    const found = flows.find(tuple, nowMs);
    if (found >= 0) {
      const entry = found >> 1;
      flows.touch(entry, flowClass(h, flows.timeoutClassOf(entry), found & 1), nowMs);
      return true;
    }
    // Without neighbour discovery no IPv6 crosses a wire; a hop limit of 255 proves that it is local (RFC 4861).
    if (h.version === 6 && h.icmpType >= 133 && h.icmpType <= 137 && h.ttl === 255) return true;
    if (this.#isRelated(frame, direction, nowMs)) {
      this.counters.related++;
      return true;
    }
    let verdict = this.#acl.match(h, direction);
    if (verdict === NO_MATCH) verdict = direction === 0 ? this.#defaultOut : this.#defaultIn;
    if (verdict === DENY) {
      this.counters.denied++;
      return false;
    }
    reverseTuple(tuple, this.#reverse);
    this.#reverse[9] = this.#reverse[9]! ^ (1 << DIRECTION_BIT);
    if (flows.insert(tuple, this.#reverse, flowClass(h, -1, 0), nowMs) < 0) {
      this.counters.tableFull++;
      return false;
    }
    this.counters.flowsOpened++;
    return true;
  }

  /** Whether the packet in `#headers` is an ICMP error about a flow whose packet went the other way. */
  #isRelated(frame: Uint8Array, direction: Direction, nowMs: number): boolean {
    const quoted = this.#quoted;
    if (!parseIcmpError(frame, this.#headers, quoted)) return false;
    quoted.tuple[9] = quoted.tuple[9]! | ((1 - direction) << DIRECTION_BIT);
    return this.#flows.find(quoted.tuple, nowMs) >= 0;
  }
}
