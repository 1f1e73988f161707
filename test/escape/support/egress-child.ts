/**
 * Runs in the box of `egress-world.ts`: attempts of functions to reach the box itself, an NF's namespace and metadata
 * services, by names and by written addresses. One line of JSON: what each reached.
 */

import { execFileSync } from 'node:child_process';
import { createNamespace, type Namespace } from '../../../src/linux/netns.js';
import { Egress } from '../../../src/network/egress.js';
import type { Sandbox } from '../../../src/sandbox/engine.js';
import { BOX, CONNECTS, echoIn, METADATA } from '../../support/egress-world.js';
import { ask, SandboxBench } from '../../support/sandboxes.js';

const NF = '10.253.0.2';
const NAMES = ['loopback.test', 'box.test', 'nf.test', ...METADATA.map((_, i) => `metadata${i}.test`)];
/** Connects for so long to what is refused, one after the other; how many, and in how long. */
const LOOP = `
  import { connect } from 'node:net';
  const once = () => new Promise((done) => connect(7001, '127.0.0.1').on('error', done).on('close', done));
  export default async (ms) => {
    const from = performance.now();
    let count = 0;
    for (; performance.now() - from < ms; count++) await once();
    return [count, performance.now() - from];
  };`;
/** Asks for more connections than a function may have, and says how many were answered. */
const STORM = `
  import { connect } from 'node:net';
  export default async ([count]) => {
    const sockets = Array.from({ length: count }, () => connect({ host: 'world.test', port: 7001 }));
    const ends = await Promise.all(sockets.map((socket) => new Promise((resolve) => {
      socket.once('data', () => resolve(1)).once('error', () => resolve(0)).once('close', () => resolve(0));
    })));
    sockets.forEach((socket) => socket.destroy());
    return [ends.reduce((sum, one) => sum + one, 0)];
  };`;

/** An NF's namespace with an address and a service of its own, linked to the box by a pair of interfaces. */
async function linkNf(): Promise<Namespace> {
  const nf = await createNamespace();
  const ip = (...args: string[]) => execFileSync('ip', args);
  ip('link', 'add', 'n0', 'type', 'veth', 'peer', 'name', 'n1', 'netns', String(nf.pid));
  ip('address', 'add', '10.253.0.1/24', 'dev', 'n0');
  ip('link', 'set', 'n0', 'up');
  await nf.run('ip', ['address', 'add', `${NF}/24`, 'dev', 'n1']);
  await nf.run('ip', ['link', 'set', 'n1', 'up']);
  echoIn(nf);
  return nf;
}

const nf = await linkNf();
echoIn();
const bench = new SandboxBench('process', { egress: new Egress([`${BOX}:7001`]) });
const first = async (sandbox: Sandbox, event?: unknown) => ((await ask(sandbox, event)) as unknown[])[0];
const seen: Record<string, unknown> = {};
try {
  const byName = await bench.run(CONNECTS, {
    egress: [...NAMES, 'world.test'].map((name) => `${name}:7001`),
  });
  for (const name of NAMES) seen[name] = await first(byName, [name, 7001, 'hello']);
  seen['world.test'] = await first(byName, ['world.test', 7001, 'hello']);
  const written = ['127.0.0.1', NF, ...METADATA];
  const networks = ['10.253.0.0/16:7001', '169.254.0.0/16:7001', '10.254.0.0/16:7001'];
  const byAddress = await bench.run(CONNECTS, {
    egress: [...written.map((one) => `${one}:7001`), ...networks],
  });
  for (const address of written) seen[address] = await first(byAddress, [address, 7001, 'hello']);
  seen.openedByOperator = await first(byAddress, [BOX, 7001, 'hello']);
  seen.told = bench.logs.filter(({ text }) => /^nemo: 127\.0\.0\.1:7001 is not reached/.test(text)).length;
  const storm = await bench.run(STORM, { egress: ['world.test:7001'], functionName: 'storm' });
  seen.storm = await first(storm, [300]);
  seen.refusals = await ask(
    await bench.run(LOOP, { egress: ['127.0.0.1:7001'], functionName: 'loop' }),
    1_000,
  );
  seen.besideStorm = await first(byName, ['world.test', 7001, 'hello']);
} finally {
  await bench.close();
  await nf.close();
}
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
