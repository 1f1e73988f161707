/**
 * Runs in network and mount namespaces of its own: a small world with one service at 10.254.0.1, known as service.test,
 * and the same service at 127.0.0.1. Prints what functions with several allow-lists reached, as one line of JSON.
 */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Sandbox } from '../../src/sandbox/engine.js';
import { ask, SandboxBench } from '../support/sandboxes.js';

const CODE = `
  import { connect } from 'node:net';
  export default ([host, port, text]) => new Promise((resolve) => {
    let seen = '';
    const socket = connect({ host, port, allowHalfOpen: true, family: 4 }, () => socket.end(text));
    socket.on('data', (data) => (seen += data));
    socket.on('error', (error) => resolve([error.code]));
    socket.on('end', () => resolve([seen.length > 40 ? seen.length : seen]));
  });`;

execFileSync('ip', ['link', 'set', 'lo', 'up']);
execFileSync('ip', ['address', 'add', '10.254.0.1/32', 'dev', 'lo']);
const bench = new SandboxBench();
const hosts = join(bench.directory, 'hosts');
writeFileSync(hosts, '127.0.0.1 localhost\n10.254.0.1 service.test\n127.0.0.1 evil.test\n');
execFileSync('mount', ['--bind', hosts, '/etc/hosts']);

const clients = new Set<Socket>();
const server = createServer({ allowHalfOpen: true }, (socket) => {
  clients.add(socket.once('close', () => clients.delete(socket)));
  socket.on('error', () => undefined);
  socket.write('you said ');
  socket.pipe(socket);
}).listen(7001, '0.0.0.0');

const first = async (sandbox: Sandbox, event?: unknown) => ((await ask(sandbox, event)) as unknown[])[0];
const seen: Record<string, unknown> = {};
try {
  const egress = ['service.test:7001', 'evil.test:7001', 'nobody.test:7001', '10.254.0.0/24:7001'];
  const open = await bench.run(CODE, { egress });
  const local = await bench.run(CODE, { egress: ['127.0.0.1:7001'] });
  const closed = await bench.run(CODE);
  seen.byName = await first(open, ['service.test', 7001, 'hello']);
  seen.byNetwork = await first(open, ['10.254.0.1', 7001, 'hello']);
  seen.manyBytes = await first(open, ['service.test', 7001, 'x'.repeat(1_000_000)]);
  seen.nameOfThisMachine = await first(open, ['evil.test', 7001, 'hello']);
  seen.unknownName = await first(open, ['nobody.test', 7001, 'hello']);
  seen.otherPort = await first(open, ['service.test', 7002, 'hello']);
  seen.ownLoopback = await first(open, ['127.0.0.1', 7001, 'hello']);
  seen.otherAddress = await first(open, ['10.253.0.1', 7001, 'hello']);
  seen.notListedName = await first(open, ['other.test', 7001, 'hello']);
  seen.writtenLoopback = await first(local, ['127.0.0.1', 7001, 'hello']);
  seen.withoutList = await first(closed, ['10.254.0.1', 7001, 'hello']);
  seen.withoutListLocal = await first(closed, ['127.0.0.1', 7001, 'hello']);

  // A sandbox that ends in the middle of a connection leaves none behind.
  const waiting = await bench.run(
    `
    import { connect } from 'node:net';
    export default () => new Promise((resolve) => {
      const socket = connect({ host: 'service.test', port: 7001 }, () => setTimeout(resolve, 60_000));
      socket.on('data', () => resolve(['connected']));
      globalThis.kept = socket;
    });`,
    { egress },
  );
  seen.waiting = await first(waiting);
  await waiting.kill();
  while (clients.size > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  seen.left = clients.size;
} finally {
  await bench.close();
  server.close();
}
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
