/**
 * The relay thread: listens inside the namespaces of sandboxes and connects outside. It enters a namespace only for
 * the few calls that open sockets there. A destination that is not allowed is refused like a closed port.
 */

import { lookup } from 'node:dns';
import { connect, createServer, type LookupFunction, type Server, type Socket } from 'node:net';
import { parentPort } from 'node:worker_threads';
import { listenTcp } from '../linux/blocking-socket.js';
import { insideNamespace } from '../linux/netns.js';
import { execFileSync } from '../linux/spawn.js';
import { EGRESS } from '../tunables.js';
import type { EgressOrder, EgressReport } from './egress.js';
import { EgressRules, mayStandFor } from './egress-rules.js';

interface Opened {
  servers: Server[];
  sockets: Set<Socket>;
}

const opened = new Map<string, Opened>();

parentPort!.on('message', (order: EgressOrder) => {
  if (order.order === 'close') return close(order.id);
  const report: EgressReport = { id: order.id };
  try {
    open(order.id, order.namespace, new EgressRules(order.rules));
  } catch (thrown) {
    close(order.id);
    report.error = (thrown as Error).message;
  }
  parentPort!.postMessage(report);
});

function open(id: string, namespace: string, rules: EgressRules): void {
  const entry: Opened = { servers: [], sockets: new Set() };
  opened.set(id, entry);
  for (const network of rules.networks) {
    // Local addresses need no interface of their own: the sandbox's loopback answers for them.
    execFileSync(
      'nsenter',
      [`--net=${namespace}`, '--', 'ip', 'route', 'add', 'local', network, 'dev', 'lo'],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
        timeout: EGRESS.attachTimeoutMs,
      },
    );
  }
  const fds = insideNamespace(namespace, () => rules.ports.map((port) => listenTcp('0.0.0.0', port)));
  for (const [i, fd] of fds.entries()) {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (inside) => {
      relay(inside, rules, rules.ports[i]!, entry);
    });
    server.maxConnections = EGRESS.connectionsPerPort;
    server.on('error', () => server.close());
    server.listen({ fd });
    entry.servers.push(server);
  }
}

function close(id: string): void {
  const entry = opened.get(id);
  opened.delete(id);
  for (const server of entry?.servers ?? []) server.close();
  for (const socket of entry?.sockets ?? []) socket.destroy();
}

/** `localAddress` is where the function wanted to go. */
function relay(inside: Socket, rules: EgressRules, port: number, { sockets }: Opened): void {
  const target = rules.target(inside.localAddress ?? '', port);
  inside.on('error', () => undefined);
  if (target === undefined) return void inside.resetAndDestroy();
  const outside = connect({
    host: target.host,
    port,
    autoSelectFamily: false,
    family: 4,
    allowHalfOpen: true,
    noDelay: true,
    ...(target.isName ? { lookup: publicLookup } : {}),
  });
  for (const [socket, other] of [
    [inside, outside],
    [outside, inside],
  ] as const) {
    sockets.add(socket);
    socket.once('error', () => other.resetAndDestroy());
    socket.once('close', () => {
      sockets.delete(socket);
      other.destroySoon();
    });
  }
  outside.setTimeout(EGRESS.connectTimeoutMs, () => outside.destroy(new Error('timed out')));
  outside.once('connect', () => {
    outside.setTimeout(0);
    inside.pipe(outside);
    outside.pipe(inside);
  });
}

/** A name that leads to this machine itself, or to nothing, does not exist. */
const publicLookup: LookupFunction = (name, _options, callback) => {
  lookup(name, { family: 4, all: true }, (error, addresses) => {
    const allowed = addresses?.find(({ address }) => mayStandFor(address));
    if (allowed !== undefined) callback(null, allowed.address, 4);
    else callback(error ?? new Error(`${name} may not be reached`), '', 4);
  });
};
