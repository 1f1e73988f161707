/**
 * The relay thread: listens inside the namespaces of sandboxes and connects outside. It enters a namespace only for
 * the few calls that open sockets there. A destination that is not allowed is refused like a closed port. A name is looked
 * up once for a connection; the address that was checked is the very address that is connected to.
 */

import { Resolver } from 'node:dns/promises';
import { connect, type Socket } from 'node:net';
import { parentPort } from 'node:worker_threads';
import { listenTcp } from '../linux/blocking-socket.js';
import { close as closeFd } from '../linux/libc.js';
import { addLocalRoute } from '../linux/netlink.js';
import { insideNamespace } from '../linux/netns.js';
import { afterLastByte, boundBuffers, end, reset } from '../linux/socket-options.js';
import { Pace } from '../streams/pace.js';
import { EGRESS } from '../tunables/index.js';
import { blockReason } from './blocked-addresses.js';
import type { EgressOrder, EgressReport } from './egress.js';
import { EgressRules } from './egress-rules.js';
import { hostsThen, Lookups } from './lookups.js';
import { OwnAddresses } from './own-addresses.js';
import { RelayFlow } from './relay-flow.js';
import { RelayListener } from './relay-listener.js';
import { type Share as PlacesShare, RelayPlaces } from './relay-places.js';

/** What all sandboxes of one function share. */
interface Share extends PlacesShare {
  lookups: Lookups;
  flow: RelayFlow;
  sandboxes: number;
}

interface Opened {
  functionKey: string;
  rules: EgressRules;
  listeners: RelayListener[];
  /** Limits what new connections cost this thread; beyond it none is accepted for a while. */
  pace: Pace;
  sockets: Set<Socket>;
  share: Share;
  /** Barred destinations that were already reported to its owner. */
  told: Set<string>;
}

const opened = new Map<string, Opened>();
const shares = new Map<string, Share>();
const own = new OwnAddresses(EGRESS.ownAddressesKeptMs);
const isOwn = (address: string): boolean => own.has(address);
const places = new RelayPlaces();

parentPort!.on('message', (order: EgressOrder) => {
  if (order.order === 'close') return close(order.id);
  const report: EgressReport = { id: order.id };
  try {
    open(order);
  } catch (thrown) {
    close(order.id);
    report.error = (thrown as Error).message;
  } finally {
    closeFd(order.namespace);
  }
  parentPort!.postMessage(report);
});

function open({ id, functionKey, namespace, rules: texts, allow }: EgressOrder & { order: 'open' }): void {
  const rules = new EgressRules(texts, allow);
  const listeners: RelayListener[] = [];
  const valve = {
    hold: () => {
      for (const one of listeners) one.hold();
    },
    release: () => {
      try {
        for (const one of listeners) one.accept();
      } catch {
        // No descriptor is free now. Other connections must not end because of that.
        setTimeout(valve.release, EGRESS.acceptAgainMs).unref();
      }
    },
  };
  const entry: Opened = {
    ...{ functionKey, rules, listeners, sockets: new Set(), told: new Set() },
    pace: new Pace(valve, EGRESS.connectionsPerSecond),
    share: shareOf(functionKey),
  };
  opened.set(id, entry);
  insideNamespace(namespace, () => {
    // Local addresses need no interface of their own: the sandbox's loopback answers for them.
    for (const { address, bits } of rules.networks) addLocalRoute(address, bits);
    // Each is known as soon as it is open: a later one may fail.
    for (const port of rules.ports) {
      const fd = listenTcp('0.0.0.0', port);
      const onConnection = (inside: Socket) => {
        // As without a free descriptor: only this connection fails.
        relay(id, inside, port, entry).catch(() => reset(inside));
      };
      listeners.push(new RelayListener(fd, onConnection));
    }
  });
  valve.release();
}

function shareOf(functionKey: string): Share {
  let share = shares.get(functionKey);
  if (share === undefined) {
    const { lookupTryMs: timeout, lookupTries: tries } = EGRESS;
    const resolver = new Resolver({ timeout, tries });
    const lookups = new Lookups(
      hostsThen(async (name) =>
        (await resolver.resolve4(name, { ttl: true })).map(({ address, ttl }) => ({ address, ttlS: ttl })),
      ),
    );
    share = { lookups, flow: new RelayFlow(), connections: 0, sandboxes: 0 };
    shares.set(functionKey, share);
  }
  share.sandboxes++;
  return share;
}

function close(id: string): void {
  const entry = opened.get(id);
  if (entry === undefined) return;
  opened.delete(id);
  for (const listener of entry.listeners) listener.close();
  entry.pace.stop();
  for (const socket of entry.sockets) end(socket);
  if (--entry.share.sandboxes > 0) return;
  entry.share.flow.stop();
  shares.delete(entry.functionKey);
}

/** `localAddress` is where the function wanted to go. */
async function relay(id: string, inside: Socket, port: number, entry: Opened): Promise<void> {
  const { share, pace } = entry;
  inside.on('error', () => undefined);
  boundBuffers(inside, EGRESS.socketBytes);
  pace.spend(1);
  const target = entry.rules.target(inside.localAddress ?? '', port);
  const connection: Socket[] = [];
  const leave =
    target === undefined
      ? undefined
      : places.take(
          share,
          () => inside.bytesRead + inside.bytesWritten,
          () => connection.forEach(reset),
        );
  if (target === undefined || leave === undefined) return refuse(inside, pace);
  follow(inside, connection, entry, leave);
  const address = target.isName ? await byName(entry, target.host) : target.host;
  if (inside.destroyed) return;
  const why =
    address === undefined ? 'no name server knows it' : barredFor(address, port, target.isName, entry);
  if (address === undefined || why !== undefined) {
    tell(id, entry, `${target.host}:${port}`, why ?? '');
    return refuse(inside, pace);
  }
  const outside = connectTo(address, port);
  follow(outside, connection, entry, leave);
  join(inside, outside, entry);
}

/**
 * A connection keeps its place until both of its sockets are closed and all was taken: data that waits in one of them
 * takes memory too.
 */
function follow(socket: Socket, connection: Socket[], { sockets }: Opened, leave: () => void): void {
  connection.push(socket);
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket));
  afterLastByte(socket, () => {
    connection.splice(connection.indexOf(socket), 1);
    if (connection.length === 0) leave();
  });
}

function refuse(inside: Socket, pace: Pace): void {
  pace.spend(EGRESS.refusedWeight - 1);
  reset(inside);
}

/** The first of its addresses that is not barred, or else the first. */
async function byName({ share: { lookups } }: Opened, name: string): Promise<string | undefined> {
  const addresses = await lookups.addresses(name);
  return addresses.find((one) => blockReason(one, isOwn) === undefined) ?? addresses[0];
}

function barredFor(address: string, port: number, isName: boolean, { rules }: Opened): string | undefined {
  if (!isName && rules.opened(address, port)) return undefined;
  const why = blockReason(address, isOwn);
  if (why === undefined || isName) return why;
  return `${why}; the operator can open it (egress.allow in the agent's configuration)`;
}

/** Once per destination, in the function's own log: otherwise its owner sees only a connection that was reset. */
function tell(id: string, { told }: Opened, destination: string, why: string): void {
  if (told.has(destination) || told.size >= EGRESS.toldMax) return;
  told.add(destination);
  parentPort!.postMessage({
    id,
    refused: `${destination} is not reached: ${why}`,
  } satisfies EgressReport);
}

function connectTo(host: string, port: number): Socket {
  const { bufferBytes: highWaterMark } = EGRESS;
  return connect({
    ...{ host, port, family: 4, autoSelectFamily: false, allowHalfOpen: true, noDelay: true },
    ...{ highWaterMark },
  });
}

function join(inside: Socket, outside: Socket, { pace, share: { flow } }: Opened): void {
  let connected = false;
  for (const [socket, other] of [
    [inside, outside],
    [outside, inside],
  ] as const) {
    socket.once('error', () => {
      if (!connected) pace.spend(EGRESS.refusedWeight - 1);
      reset(other);
    });
    socket.once('close', () => other.destroySoon());
  }
  outside.setTimeout(EGRESS.connectTimeoutMs, () => outside.destroy(new Error('timed out')));
  outside.once('connect', () => {
    connected = true;
    outside.setTimeout(0);
    boundBuffers(outside, EGRESS.socketBytes);
    flow.join(inside, outside);
  });
}
