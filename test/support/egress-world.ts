/**
 * A box for egress tests, in namespaces of its own (network, mounts, pids), and a world outside that the box knows nothing
 * of, linked by one pair of interfaces. The world listens on port 7001 of every address it has and answers "you said ".
 * A child program of the tests runs in the box and prints one line of JSON.
 */

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { listenTcp } from '../../src/linux/blocking-socket.js';
import { connect, createNamespace, insideNamespace, type Namespace } from '../../src/linux/netns.js';

export const PORT = 7001;
export const BOX = '10.254.0.1';
export const WORLD = '10.254.0.2';
/** Beyond the world, which is the way to it. */
export const FAR = '198.51.100.9';
/** Metadata services of clouds, which the world has too. */
export const METADATA = ['169.254.169.254', '100.100.100.200', '168.63.129.16', '192.0.0.192'];

/** Runs `program` in the box; `hosts` is its /etc/hosts. What it printed. */
export async function inTheBox(program: string, hosts: string): Promise<Record<string, unknown>> {
  const directory = mkdtempSync(join(tmpdir(), 'nemo-egress-'));
  const hostsPath = join(directory, 'hosts');
  writeFileSync(hostsPath, hosts);
  const box = await createNamespace();
  const world = await createNamespace();
  let server: Server | undefined;
  try {
    await link(box, 'b0', `${BOX}/24`, world, 'w0', `${WORLD}/24`);
    for (const address of [FAR, ...METADATA]) {
      await world.run('ip', ['address', 'add', `${address}/32`, 'dev', 'lo']);
      await box.run('ip', ['route', 'add', `${address}/32`, 'via', WORLD]);
    }
    server = echoIn(world);
    const run = 'mount --bind "$0" /etc/hosts && exec "$@"';
    const { stdout } = await promisify(execFile)(
      'nsenter',
      [
        ...[`--net=${box.path}`, 'unshare', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'],
        ...['sh', '-c', run, hostsPath, process.execPath, program],
      ],
      { timeout: 50_000 },
    );
    return JSON.parse(stdout) as Record<string, unknown>;
  } finally {
    server?.close();
    await box.close();
    await world.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

export async function link(
  a: Namespace,
  nameA: string,
  addressA: string,
  b: Namespace,
  nameB: string,
  addressB: string,
): Promise<void> {
  await connect(a, nameA, b, nameB, { mtu: 1500 });
  for (const [namespace, name, address] of [
    [a, nameA, addressA],
    [b, nameB, addressB],
  ] as const) {
    await namespace.run('ip', ['link', 'set', name, 'arp', 'on']);
    await namespace.run('ip', ['address', 'add', address, 'dev', name]);
  }
}

/** The service, within a namespace; without one, here. */
export function echoIn(namespace?: Namespace, clients = new Set<Socket>()): Server {
  const open = () => listenTcp('0.0.0.0', PORT);
  const fd = namespace === undefined ? open() : insideNamespace(namespace.path, open);
  return createServer({ allowHalfOpen: true }, (socket) => {
    clients.add(socket.once('close', () => clients.delete(socket)));
    socket.on('error', () => undefined);
    socket.write('you said ');
    socket.pipe(socket);
  }).listen({ fd });
}

/** A function that connects to [host, port], sends a text, and answers with what came back, or the error's code. */
export const CONNECTS = `
  import { connect } from 'node:net';
  export default ([host, port, text]) => new Promise((resolve) => {
    let seen = '';
    const socket = connect({ host, port, allowHalfOpen: true, family: 4 }, () => socket.end(text));
    socket.on('data', (data) => (seen += data));
    socket.on('error', (error) => resolve([error.code]));
    socket.on('end', () => resolve([seen.length > 40 ? seen.length : seen]));
  });`;
