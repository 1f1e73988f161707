/** Runs in the box of `egress-world.ts`: what functions with several allow-lists reach, as one line of JSON. */

import { Egress } from '../../src/network/egress.js';
import type { Sandbox } from '../../src/sandbox/engine.js';
import { BOX, CONNECTS, echoIn, WORLD } from '../support/egress-world.js';
import { ask, SandboxBench } from '../support/sandboxes.js';

const bench = new SandboxBench('process', { egress: new Egress(['127.0.0.1:7001']) });
const server = echoIn();
const first = async (sandbox: Sandbox, event?: unknown) => ((await ask(sandbox, event)) as unknown[])[0];
const seen: Record<string, unknown> = {};
try {
  const egress = ['service.test:7001', 'nobody.test:7001', '10.254.0.0/24:7001'];
  const open = await bench.run(CONNECTS, { egress });
  const local = await bench.run(CONNECTS, { egress: ['127.0.0.1:7001'] });
  const closed = await bench.run(CONNECTS);
  seen.byName = await first(open, ['service.test', 7001, 'hello']);
  seen.byNetwork = await first(open, [WORLD, 7001, 'hello']);
  seen.manyBytes = await first(open, ['service.test', 7001, 'x'.repeat(1_000_000)]);
  seen.unknownName = await first(open, ['nobody.test', 7001, 'hello']);
  seen.otherPort = await first(open, ['service.test', 7002, 'hello']);
  seen.ownLoopback = await first(open, ['127.0.0.1', 7001, 'hello']);
  seen.otherAddress = await first(open, ['10.253.0.1', 7001, 'hello']);
  seen.notListedName = await first(open, ['other.test', 7001, 'hello']);
  seen.openedByOperator = await first(local, ['127.0.0.1', 7001, 'hello']);
  seen.withoutList = await first(closed, [BOX, 7001, 'hello']);
  seen.withoutListLocal = await first(closed, ['127.0.0.1', 7001, 'hello']);

  // A sandbox that ends in the middle of a connection leaves none behind.
  const waiting = await bench.run(
    `
    import { connect } from 'node:net';
    export default () => new Promise((resolve) => {
      const socket = connect({ host: 'service.test', port: 7001 });
      let seen = '';
      socket.on('data', (data) => { seen += data; if (seen.includes('again')) resolve(['connected']); });
      socket.on('end', () => resolve(['ended']));
      socket.write('again');
      globalThis.kept = socket;
    });`,
    { egress },
  );
  seen.waiting = await first(waiting);
  await waiting.kill();
} finally {
  await bench.close();
  server.close();
}
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
