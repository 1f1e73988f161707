/**
 * An IPv4 and IPv6 router between two ports: checks the header, finds the longest prefix, counts TTL or hop limit down,
 * writes the next hop's MAC address. Easy to get wrong: it needs L3 only, so fragments and odd L4 pass. It cannot answer
 * the sender, so no ICMP "time exceeded" is sent: expired packets are counted and dropped.
 *
 * Configuration: routes: [{ prefix, mac?, drop? }] (without mac the frame's own stays), mac (the router's own, written
 * as source where the route has one), verifyChecksum. Default: everything is routed, MAC addresses stay.
 */

import { applyDelta, delta16, onesSum } from '../checksum.js';
import { BAD_L4, Headers, NOT_IP, parseHeaders, readU16 } from '../headers.js';
import { ConfigReader } from './config.js';
import { type Direction, DROP, type NetworkFunction } from './function.js';
import { LpmTable, NO_ROUTE } from './lpm.js';

interface NextHop {
  mac: Uint8Array | undefined;
  drop: boolean;
}

const DEFAULT_ROUTES = [{ prefix: '0.0.0.0/0' }, { prefix: '::/0' }];

export class Router implements NetworkFunction {
  readonly name = 'router';
  readonly counters = {
    forwarded: 0,
    dropped: 0,
    broken: 0,
    nonIp: 0,
    badChecksum: 0,
    ttlExpired: 0,
    noRoute: 0,
    /** By a route that says so. */
    blackholed: 0,
  };
  readonly #headers = new Headers();
  readonly #hops: NextHop[] = [];
  readonly #v4: LpmTable;
  readonly #v6: LpmTable;
  readonly #ownMac: Uint8Array | undefined;
  readonly #verify: boolean;

  constructor(config: unknown) {
    const reader = new ConfigReader('router', config);
    const routes = reader.list('routes', DEFAULT_ROUTES).map((route, value) => {
      const prefix = route.prefix('prefix') ?? route.fail('prefix', 'a prefix like 10.0.0.0/8 or fd00::/8');
      this.#hops.push({ mac: route.mac('mac'), drop: route.boolean('drop', false) });
      route.end();
      return { prefix, value };
    });
    this.#v4 = new LpmTable(routes.filter(({ prefix }) => prefix.version === 4));
    this.#v6 = new LpmTable(routes.filter(({ prefix }) => prefix.version === 6));
    this.#ownMac = reader.mac('mac');
    this.#verify = reader.boolean('verifyChecksum', true);
    reader.end();
  }

  process(frame: Uint8Array, length: number, _direction: Direction, _nowMs: number): number {
    const counters = this.counters;
    const forward = this.#route(frame, length);
    if (forward) counters.forwarded++;
    else counters.dropped++;
    return forward ? length : DROP;
  }

  #route(frame: Uint8Array, length: number): boolean {
    const h = this.#headers;
    const counters = this.counters;
    const code = parseHeaders(frame, length, h);
    if (code === NOT_IP) {
      counters.nonIp++;
      return false;
    }
    if (code > BAD_L4) {
      counters.broken++;
      return false;
    }
    const v4 = h.version === 4;
    const l3 = h.l3Offset;
    if (v4 && this.#verify && onesSum(frame, l3, l3 + ((frame[l3]! & 15) << 2)) !== 0xffff) {
      counters.badChecksum++;
      return false;
    }
    if (h.ttl <= 1) {
      counters.ttlExpired++;
      return false;
    }
    const route = (v4 ? this.#v4 : this.#v6).lookup(h.tuple, 4);
    if (route === NO_ROUTE) {
      counters.noRoute++;
      return false;
    }
    const hop = this.#hops[route]!;
    if (hop.drop) {
      counters.blackholed++;
      return false;
    }
    if (v4) {
      const before = readU16(frame, l3 + 8);
      frame[l3 + 8] = h.ttl - 1;
      applyDelta(frame, l3 + 10, delta16(before, readU16(frame, l3 + 8)));
    } else frame[l3 + 7] = h.ttl - 1;
    if (hop.mac !== undefined) {
      frame.set(hop.mac, 0);
      if (this.#ownMac !== undefined) frame.set(this.#ownMac, 6);
    }
    return true;
  }
}
