/**
 * A layer-4 load balancer (TCP and UDP, IPv4 and IPv6): Maglev hashing picks a backend for the first packet of a
 * connection, the connection table keeps it, destinations are rewritten on the way in and sources restored on the way
 * back. Easy to get wrong: direction 0 comes from the clients. A connection leaves its backend only when that is down.
 *
 * Configuration: services: [{ address?, port?, protocol?, backends: [{ address, port?, name? }] }], unmatched: allow |
 * deny, maxFlows, timeouts. A service without an address takes every destination of its backends' IP version; so does
 * the default, eight backends of each version.
 */

import { NemoError } from '../../model/errors.js';
import { FRAGMENT, Headers, L4_TCP, L4_UDP, NOT_IP, OK, parseHeaders, TUPLE_WORDS } from '../headers.js';
import { ConfigReader } from './config.js';
import { flowClass, readMaxFlows, readTimeouts } from './flow-class.js';
import { FlowTable, hashTuple, reverseTuple } from './flow-table.js';
import { FragmentTable } from './fragments.js';
import { type Direction, DROP, type NetworkFunction } from './function.js';
import { maglevTable } from './maglev.js';
import { DESTINATION, SOURCE, setAddress, setEndpoint } from './rewrite.js';

interface Backend {
  name: string;
  words: Int32Array;
  /** 0 keeps the packet's port. */
  port: number;
  up: boolean;
}

interface Service {
  version: 4 | 6;
  /** Undefined: any. */
  address: Int32Array | undefined;
  port: number;
  protocol: number;
  backends: Backend[];
  /** Index into `up` for each slot. */
  table: Int16Array;
  up: Backend[];
}

/** The bit of a key's last word that marks the answers' side. */
const ANSWER = 1 << 16;
/** Every balancer must send a tuple the same way, so this seed is fixed. */
const MAGLEV_SEED = 0x6d61676c;
/** Other slots tried when a backend already has a connection with the same client port, for another service. */
const TRIES = 16;

const DEFAULT_SERVICES = ['10.200.0.', 'fd00:200::'].map((base) => ({
  backends: Array.from({ length: 8 }, (_, i) => ({ address: `${base}${i + 1}` })),
}));

export class LoadBalancer implements NetworkFunction {
  readonly name = 'lb';
  readonly counters = {
    forwarded: 0,
    dropped: 0,
    broken: 0,
    /** Later ones of packets whose first went nowhere. */
    fragments: 0,
    /** No service, no connection: `unmatched` decides. */
    unmatched: 0,
    connectionsOpened: 0,
    noBackend: 0,
    collisions: 0,
    tableFull: 0,
  };
  readonly #headers = new Headers();
  readonly #reverse = new Int32Array(TUPLE_WORDS);
  readonly #scratch = new Int32Array(TUPLE_WORDS);
  readonly #services: Service[];
  readonly #flows: FlowTable;
  readonly #fragments = new FragmentTable();
  readonly #backendOf: Backend[];
  readonly #passUnmatched: boolean;

  constructor(config: unknown) {
    const reader = new ConfigReader('lb', config);
    this.#services = reader.list('services', DEFAULT_SERVICES).map(readService);
    this.#passUnmatched = reader.choice('unmatched', 'allow', ['allow', 'deny']) === 'allow';
    const maxFlows = readMaxFlows(reader);
    this.#flows = new FlowTable({ maxFlows, timeoutsMs: readTimeouts(reader) });
    this.#backendOf = new Array<Backend>(maxFlows);
    reader.end();
  }

  /** Takes a backend out of all services, or back in. Throws NOT_FOUND. Not for the packet path. */
  setBackend(name: string, up: boolean): void {
    let found = false;
    for (const service of this.#services) {
      const backend = service.backends.find((candidate) => candidate.name === name);
      if (backend === undefined) continue;
      found = true;
      backend.up = up;
      build(service);
    }
    if (!found) throw new NemoError('NOT_FOUND', `no backend is called ${name}`);
  }

  process(frame: Uint8Array, length: number, direction: Direction, nowMs: number): number {
    const counters = this.counters;
    const forward = this.#balance(frame, length, direction, nowMs);
    if (forward) counters.forwarded++;
    else counters.dropped++;
    return forward ? length : DROP;
  }

  #balance(frame: Uint8Array, length: number, direction: Direction, nowMs: number): boolean {
    const h = this.#headers;
    const code = parseHeaders(frame, length, h);
    if (code !== OK && code !== NOT_IP) {
      if (code === FRAGMENT) return this.#followFirst(frame, h, direction, nowMs);
      this.counters.broken++;
      return false;
    }
    this.#flows.expire(nowMs);
    if (code === NOT_IP || (h.l4Kind !== L4_TCP && h.l4Kind !== L4_UDP))
      return this.#unmatched(h, direction, nowMs);
    return direction === 0 ? this.#toBackend(frame, h, nowMs) : this.#toClient(frame, h, nowMs);
  }

  #toBackend(frame: Uint8Array, h: Headers, nowMs: number): boolean {
    const flows = this.#flows;
    const found = flows.find(h.tuple, nowMs);
    let entry = found >> 1;
    if (found >= 0 && !this.#backendOf[entry]!.up) {
      flows.remove(entry);
      entry = -1;
    }
    if (entry < 0) {
      const service = this.#serviceOf(h);
      if (service === undefined) return this.#unmatched(h, 0, nowMs);
      entry = this.#open(h, service, nowMs);
      if (entry < 0) return false;
    } else flows.touch(entry, flowClass(h, flows.timeoutClassOf(entry), 0), nowMs);
    const backend = this.#backendOf[entry]!;
    setEndpoint(frame, h, DESTINATION, backend.words, 0, backend.port || h.destinationPort);
    if (h.fragment === 1) this.#fragments.keep(h, 0, nowMs, backend.words);
    return true;
  }

  #toClient(frame: Uint8Array, h: Headers, nowMs: number): boolean {
    const flows = this.#flows;
    h.tuple[9] = h.tuple[9]! | ANSWER;
    const found = flows.find(h.tuple, nowMs);
    if (found < 0) return this.#unmatched(h, 1, nowMs);
    const entry = found >> 1;
    flows.touch(entry, flowClass(h, flows.timeoutClassOf(entry), 1), nowMs);
    // The source that the client knows is the destination that it asked for.
    for (let word = 0; word < 4; word++) this.#scratch[word] = flows.keyWord(entry, 0, word + 4);
    setEndpoint(frame, h, SOURCE, this.#scratch, 0, flows.keyWord(entry, 0, 8) & 0xffff);
    if (h.fragment === 1) this.#fragments.keep(h, 1, nowMs, this.#scratch);
    return true;
  }

  /** A later fragment has no ports: it goes where the first of its packet went. */
  #followFirst(frame: Uint8Array, h: Headers, direction: Direction, nowMs: number): boolean {
    const entry = this.#fragments.find(h, direction, nowMs);
    if (entry < 0) {
      this.counters.fragments++;
      return false;
    }
    if (this.#fragments.isRewritten(entry))
      setAddress(frame, h, direction === 0 ? DESTINATION : SOURCE, this.#fragments.words, entry * 4);
    return true;
  }

  #unmatched(h: Headers, direction: Direction, nowMs: number): boolean {
    if (h.fragment === 1 && this.#passUnmatched) this.#fragments.keep(h, direction, nowMs);
    this.counters.unmatched++;
    return this.#passUnmatched;
  }

  #serviceOf(h: Headers): Service | undefined {
    const tuple = h.tuple;
    for (let i = 0; i < this.#services.length; i++) {
      const service = this.#services[i]!;
      if (service.version !== h.version) continue;
      if (service.port !== 0 && service.port !== (tuple[8]! & 0xffff)) continue;
      if (service.protocol !== 0 && service.protocol !== h.protocol) continue;
      const a = service.address;
      if (a === undefined) return service;
      if (a[0] === tuple[4] && a[1] === tuple[5] && a[2] === tuple[6] && a[3] === tuple[7]) return service;
    }
    return undefined;
  }

  /** A new connection of the packet in `h`; -1 if it cannot be had. */
  #open(h: Headers, service: Service, nowMs: number): number {
    if (service.up.length === 0) {
      this.counters.noBackend++;
      return -1;
    }
    const flows = this.#flows;
    const answer = this.#reverse;
    const hash = hashTuple(h.tuple, MAGLEV_SEED) >>> 0;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const backend = service.up[service.table[(hash + attempt) % service.table.length]!]!;
      reverseTuple(h.tuple, answer);
      answer.set(backend.words, 0);
      if (backend.port !== 0) answer[8] = (backend.port << 16) | (answer[8]! & 0xffff);
      answer[9] = h.tuple[9]! | ANSWER;
      if (flows.find(answer, nowMs) >= 0) continue;
      const entry = flows.insert(h.tuple, answer, flowClass(h, -1, 0), nowMs);
      if (entry < 0) {
        this.counters.tableFull++;
        return -1;
      }
      this.#backendOf[entry] = backend;
      this.counters.connectionsOpened++;
      return entry;
    }
    this.counters.collisions++;
    return -1;
  }
}

function readService(config: ConfigReader): Service {
  const address = config.has('address') ? config.address('address', undefined) : undefined;
  const port = config.integer('port', 0, 0, 65535);
  const protocol = { any: 0, tcp: 6, udp: 17 }[config.choice('protocol', 'any', ['any', 'tcp', 'udp'])];
  let version = address?.version;
  const names = new Set<string>();
  const backends = config.list('backends', []).map((reader): Backend => {
    const given = reader.address('address', undefined);
    version ??= given.version;
    if (given.version !== version)
      reader.fail('address', `an IPv${version} address, as elsewhere in this service`);
    const backendPort = reader.integer('port', 0, 0, 65535);
    const name = reader.text(
      'name',
      `${reader.text('address', undefined)}${backendPort === 0 ? '' : ` port ${backendPort}`}`,
    );
    if (names.has(name)) reader.fail('name', 'a name that no other backend of the service has');
    names.add(name);
    reader.end();
    return { name, words: given.words, port: backendPort, up: true };
  });
  if (backends.length === 0 || backends.length > 1_000)
    config.fail('backends', 'a list of 1 to 1000 backends');
  config.end();
  const service = {
    version: version!,
    address: address?.words,
    port,
    protocol,
    backends,
    table: new Int16Array(0),
    up: [],
  };
  build(service);
  return service;
}

function build(service: Service): void {
  service.up = service.backends.filter((backend) => backend.up);
  service.table =
    service.up.length === 0 ? new Int16Array(0) : maglevTable(service.up.map(({ name }) => name));
}
