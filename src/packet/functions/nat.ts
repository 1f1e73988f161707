/**
 * NAPT for IPv4 (TCP, UDP, ICMP echo, ICMP errors about them as in RFC 5508): the inside shares one external address. Mappings are independent of the remote
 * end (RFC 4787, REQ-1): one inside endpoint keeps one external port, whomever it talks to, and whoever knows that
 * port may answer; put a firewall beside it. Easy to get wrong: a FIN ends a TCP mapping early only while the mapping
 * served a single remote end. Later fragments have no ports and follow the first; IPv6 and non-IP pass unchanged.
 *
 * Configuration: externalAddress, portLow, portHigh, nonIpv4: allow | deny, maxFlows, timeouts.
 */

import { applyDelta, delta16, onesSum } from '../checksum.js';
import {
  FRAGMENT,
  Headers,
  L4_ECHO,
  L4_ICMP,
  L4_OTHER,
  L4_TCP,
  L4_UDP,
  NOT_IP,
  OK,
  parseHeaders,
  TUPLE_WORDS,
} from '../headers.js';
import { parseIcmpError } from '../icmp-error.js';
import { ConfigReader } from './config.js';
import { ESTABLISHED, flowClass, readMaxFlows, readTimeouts } from './flow-class.js';
import { FlowTable } from './flow-table.js';
import { FragmentTable } from './fragments.js';
import { type Direction, DROP, type NetworkFunction } from './function.js';
import { PortPool } from './port-pool.js';
import { DESTINATION, SOURCE, setAddress, setEndpoint } from './rewrite.js';

/** Keys: address in words 0..3, port in word 8, and this bit in word 9 for the outside one. */
const OUTSIDE = 1 << 16;

export class Nat implements NetworkFunction {
  readonly name = 'nat';
  readonly counters = {
    forwarded: 0,
    dropped: 0,
    broken: 0,
    /** Later ones of packets whose first was not translated. */
    fragments: 0,
    nonIpv4: 0,
    /** No ports to translate: other protocols, other ICMP, errors about what has no mapping. */
    untranslatable: 0,
    mappingsOpened: 0,
    /** From the outside to a port that nobody has. */
    noMapping: 0,
    portsExhausted: 0,
    tableFull: 0,
  };
  readonly #headers = new Headers();
  readonly #quoted = new Headers();
  readonly #inside = new Int32Array(TUPLE_WORDS);
  readonly #outside = new Int32Array(TUPLE_WORDS);
  readonly #flows: FlowTable;
  readonly #fragments = new FragmentTable();
  /** By L4 kind: TCP, UDP, echo. */
  readonly #pools: PortPool[];
  readonly #external: Int32Array;
  readonly #passNonIpv4: boolean;
  /** Per mapping: the remote end of its first packet, and whether it had others. */
  readonly #remoteAddress: Int32Array;
  readonly #remotePort: Uint16Array;
  readonly #shared: Uint8Array;
  readonly #scratch = new Int32Array(4);

  constructor(config: unknown) {
    const reader = new ConfigReader('nat', config);
    const external = reader.address('externalAddress', '192.0.2.1');
    if (external.version !== 4) reader.fail('externalAddress', 'an IPv4 address');
    const low = reader.integer('portLow', 1024, 1, 65535);
    const high = reader.integer('portHigh', 65535, low, 65535);
    this.#passNonIpv4 = reader.choice('nonIpv4', 'allow', ['allow', 'deny']) === 'allow';
    const maxFlows = readMaxFlows(reader);
    this.#external = external.words;
    this.#pools = [L4_TCP, L4_UDP, L4_ECHO].map(() => new PortPool(low, high));
    this.#remoteAddress = new Int32Array(maxFlows);
    this.#remotePort = new Uint16Array(maxFlows);
    this.#shared = new Uint8Array(maxFlows);
    this.#flows = new FlowTable({
      maxFlows,
      timeoutsMs: readTimeouts(reader),
      onRemove: (entry) =>
        this.#poolOf(this.#flows.keyWord(entry, 1, 9)).give(this.#flows.keyWord(entry, 1, 8)),
    });
    reader.end();
  }

  /** Mappings in the table now. */
  get mappings(): number {
    return this.#flows.size;
  }

  process(frame: Uint8Array, length: number, direction: Direction, nowMs: number): number {
    const counters = this.counters;
    const forward = this.#translate(frame, length, direction, nowMs);
    if (forward) counters.forwarded++;
    else counters.dropped++;
    return forward ? length : DROP;
  }

  #translate(frame: Uint8Array, length: number, direction: Direction, nowMs: number): boolean {
    const h = this.#headers;
    const code = parseHeaders(frame, length, h);
    if (code === NOT_IP || (code <= FRAGMENT && h.version === 6)) {
      this.counters.nonIpv4++;
      return this.#passNonIpv4;
    }
    if (code !== OK) {
      if (code === FRAGMENT) return this.#translateFragment(frame, h, direction, nowMs);
      this.counters.broken++;
      return false;
    }
    this.#flows.expire(nowMs);
    if (h.l4Kind === L4_OTHER || h.l4Kind === L4_ICMP) {
      if (this.#translateError(frame, h, direction, nowMs)) return true;
      this.counters.untranslatable++;
      return false;
    }
    return direction === 0 ? this.#outbound(frame, h, nowMs) : this.#inbound(frame, h, nowMs);
  }

  #outbound(frame: Uint8Array, h: Headers, nowMs: number): boolean {
    const flows = this.#flows;
    const key = this.#inside;
    key[0] = h.tuple[0]!;
    key[8] = h.sourcePort;
    key[9] = h.tuple[9]!;
    const found = flows.find(key, nowMs);
    const entry = found < 0 ? this.#open(h, nowMs) : found >> 1;
    if (entry < 0) return false;
    if (found >= 0) this.#touch(entry, h, 0, h.tuple[4]!, h.destinationPort, nowMs);
    setEndpoint(frame, h, SOURCE, this.#external, 0, flows.keyWord(entry, 1, 8));
    if (h.fragment === 1) this.#fragments.keep(h, 0, nowMs, this.#external);
    return true;
  }

  #inbound(frame: Uint8Array, h: Headers, nowMs: number): boolean {
    const flows = this.#flows;
    const key = this.#outside;
    key[0] = h.tuple[4]!;
    key[8] = h.destinationPort;
    key[9] = h.tuple[9]! | OUTSIDE;
    const found = flows.find(key, nowMs);
    if (found < 0) {
      this.counters.noMapping++;
      return false;
    }
    const entry = found >> 1;
    this.#touch(entry, h, 1, h.tuple[0]!, h.sourcePort, nowMs);
    this.#scratch[0] = flows.keyWord(entry, 0, 0);
    setEndpoint(frame, h, DESTINATION, this.#scratch, 0, flows.keyWord(entry, 0, 8));
    if (h.fragment === 1) this.#fragments.keep(h, 1, nowMs, this.#scratch);
    return true;
  }

  /** A later fragment has no ports: it gets the address that the first of its packet got. */
  #translateFragment(frame: Uint8Array, h: Headers, direction: Direction, nowMs: number): boolean {
    const entry = this.#fragments.find(h, direction, nowMs);
    if (entry < 0) {
      this.counters.fragments++;
      return false;
    }
    setAddress(frame, h, direction === 0 ? SOURCE : DESTINATION, this.#fragments.words, entry * 4);
    return true;
  }

  /**
   * An ICMP error: its quote shows the packet as it was on this side, so from the outside its source is the mapped end,
   * from the inside its destination. Both the quote and the error's own address are translated.
   */
  #translateError(frame: Uint8Array, h: Headers, direction: Direction, nowMs: number): boolean {
    const quoted = this.#quoted;
    const flows = this.#flows;
    if (!parseIcmpError(frame, h, quoted)) return false;
    const inward = direction === 1;
    const key = inward ? this.#outside : this.#inside;
    key[0] = quoted.tuple[inward ? 0 : 4]!;
    key[8] = inward ? quoted.sourcePort : quoted.destinationPort;
    key[9] = quoted.tuple[9]! | (inward ? OUTSIDE : 0);
    const found = flows.find(key, nowMs);
    if (found < 0) return false;
    const entry = found >> 1;
    const otherSide = inward ? 0 : 1;
    this.#scratch[0] = flows.keyWord(entry, otherSide, 0);
    // What changes in the quote changes the error's own checksum: the difference of its sums is the delta.
    const before = onesSum(frame, h.payloadOffset, h.l3End);
    setEndpoint(
      frame,
      quoted,
      inward ? SOURCE : DESTINATION,
      this.#scratch,
      0,
      flows.keyWord(entry, otherSide, 8),
    );
    applyDelta(frame, h.l4Checksum, delta16(before, onesSum(frame, h.payloadOffset, h.l3End)));
    setAddress(frame, h, inward ? DESTINATION : SOURCE, this.#scratch, 0);
    return true;
  }

  /** A new mapping for the packet whose inside key was just looked up; -1 if there is no room. */
  #open(h: Headers, nowMs: number): number {
    const flows = this.#flows;
    const pool = this.#poolOf(h.tuple[9]!);
    let port = pool.take();
    if (port < 0) {
      // Old mappings may hold ports beyond their time.
      flows.sweep(nowMs);
      port = pool.take();
    }
    if (port < 0) {
      this.counters.portsExhausted++;
      return -1;
    }
    const key = this.#outside;
    key[0] = this.#external[0]!;
    key[8] = port;
    key[9] = h.tuple[9]! | OUTSIDE;
    const entry = flows.insert(this.#inside, key, flowClass(h, -1, 0), nowMs);
    if (entry < 0) {
      pool.give(port);
      this.counters.tableFull++;
      return -1;
    }
    this.#remoteAddress[entry] = h.tuple[4]!;
    this.#remotePort[entry] = h.destinationPort;
    this.#shared[entry] = 0;
    this.counters.mappingsOpened++;
    return entry;
  }

  #touch(entry: number, h: Headers, side: number, remote: number, remotePort: number, nowMs: number): void {
    const other = this.#remoteAddress[entry] !== remote || this.#remotePort[entry] !== remotePort;
    if (other && side === 0) this.#shared[entry] = 1;
    let next = this.#flows.timeoutClassOf(entry);
    if (h.l4Kind === L4_TCP && this.#shared[entry] === 1) next = ESTABLISHED;
    // A stranger's FIN or RST must not end the mapping.
    else if (!other) next = flowClass(h, next, side);
    this.#flows.touch(entry, next, nowMs);
  }

  #poolOf(keyWord: number): PortPool {
    const protocol = keyWord & 0xff;
    return this.#pools[protocol === 6 ? 0 : protocol === 17 ? 1 : 2]!;
  }
}
