/**
 * Who is connected: how many at once, how many from one address, and which calls each waits for. A caller that leaves
 * ends what it waits for; one that asks on without reading answers is cut off.
 */

import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Principal } from '../model/call.js';
import { GATEWAY_HTTP } from '../tunables/index.js';

export interface CallerLimits {
  connectionsMax: number;
  connectionsPerAddressMax: number;
}

/** Something that a caller waits for. */
export interface Awaited {
  /** The caller has left. */
  left(): void;
  /**
   * Sends what a caller that is there ignores, and one that has left refuses. False if that cannot be: then a caller
   * who stops sending has left.
   */
  probe?(): boolean;
}

/** What everybody of one address has together. */
export interface Held {
  /** Of bodies of requests that are not answered yet. */
  bodyBytes: number;
  feedReaders: number;
  logFollowers: number;
}

/** All connections of one address. */
interface Client extends Held, Principal {
  /** Its address, or its IPv6 network. */
  name: string;
  connections: number;
}

/** One connection. */
export class Caller {
  client: Client = {
    source: 'http',
    name: '',
    connections: 0,
    bodyBytes: 0,
    feedReaders: 0,
    logFollowers: 0,
  };
  private readonly awaited = new Set<Awaited>();
  private askedMs = 0;
  /** What waits until another request of this connection is answered; undefined while none is. */
  private turns: Array<() => void> | undefined;

  constructor(private readonly socket: Socket) {}

  /** What it waits for now. */
  get pending(): number {
    return this.awaited.size;
  }

  /** It sent the last of a request. */
  asked(): void {
    this.askedMs = performance.now();
  }

  waitsFor(one: Awaited): void {
    this.asked();
    this.awaited.add(one);
  }

  heard(one: Awaited): void {
    this.awaited.delete(one);
  }

  /** Begins now, or after those that came before: answers leave in their order anyway. Call `turnOver` once for each. */
  inOrder(begin: () => void): void {
    if (this.turns !== undefined) {
      this.turns.push(begin);
      return;
    }
    this.turns = [];
    begin();
  }

  ended(): void {
    const next = this.turns?.shift();
    if (next === undefined) this.turns = undefined;
    else next();
  }

  left(): void {
    this.turns?.splice(0);
    for (const one of this.awaited) one.left();
    this.awaited.clear();
  }

  /**
   * It sends no more. TCP tells that alike of one that waits for its answer (`nc -N`) and of one that has left: close
   * by its request it waits, and whoever is not known to wait is asked.
   */
  stoppedSending(): void {
    if (this.awaited.size === 0) return;
    const spentMs = performance.now() - this.askedMs;
    const { halfCloseMs } = GATEWAY_HTTP;
    if (spentMs >= halfCloseMs) this.probe(true, GATEWAY_HTTP.probeAgainMs);
    else setTimeout(() => this.probe(false, GATEWAY_HTTP.probeAgainMs), halfCloseMs - spentMs).unref();
  }

  /** What it was asked first is refused by its kernel, and only the next write hears of that. */
  private probe(late: boolean, nextMs: number): void {
    const [first] = this.awaited;
    if (first === undefined || this.socket.destroyed) return;
    if (first.probe?.() === true) {
      setTimeout(() => this.probe(late, GATEWAY_HTTP.probeEveryMs), nextMs).unref();
    } else if (late) this.socket.destroy();
  }
}

export class Callers {
  private readonly callers = new WeakMap<Socket, Caller>();
  private readonly clients = new Map<string, Client>();

  constructor(private readonly limits: CallerLimits) {}

  /** Counts the connections of one more server; the bounds are of all of them together for an address. */
  watch(server: Server): void {
    server.maxConnections = this.limits.connectionsMax;
    // Node's own way: not in its documentation, and in every version of it.
    Object.assign(server, { httpAllowHalfOpen: true });
    // Before the parser gets it, so that nothing of a refused one is read.
    server.prependListener('connection', (socket: Socket) => this.take(socket));
  }

  of(socket: Socket): Caller {
    const known = this.callers.get(socket);
    if (known !== undefined) return known;
    const caller = new Caller(socket);
    this.callers.set(socket, caller);
    return caller;
  }

  /** A client that has no connection any more, and holds nothing: until then it is the same one when it comes back. */
  forget(client: Client): void {
    const { name, connections, bodyBytes, feedReaders, logFollowers } = client;
    if (connections === 0 && bodyBytes + feedReaders + logFollowers === 0) this.clients.delete(name);
  }

  private take(socket: Socket): void {
    // A connection whose offer to go on in another protocol was ignored.
    if (this.callers.has(socket)) return;
    // Undefined: it has gone already.
    const address = networkOf(socket.remoteAddress ?? '');
    const caller = this.of(socket);
    const client = this.clients.get(address) ?? caller.client;
    if (client.connections >= this.limits.connectionsPerAddressMax) {
      socket.destroy();
      return;
    }
    client.connections++;
    client.name = address;
    caller.client = client;
    this.clients.set(address, client);
    socket.on('end', () => caller.stoppedSending());
    socket.once('close', () => {
      client.connections--;
      this.forget(client);
      caller.left();
    });
  }
}

/** One client may have all addresses of an IPv6 network (/64): they count as one. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1]!;
  const [before = '', after = ''] = address.split('::');
  const [first, last] = [before, after].map((part) => (part === '' ? [] : part.split(':')));
  const zeros = address.includes('::') ? Math.max(0, 8 - first!.length - last!.length) : 0;
  return `${[...first!, ...Array(zeros).fill('0'), ...last!].slice(0, 4).join(':')}::/64`;
}
