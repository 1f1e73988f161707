/**
 * Runs in the box of `egress-world.ts`: attempts of functions to reach the box itself, an NF's namespace and metadata
 * services, by names and by written addresses. One line of JSON: what each reached.
 */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createNamespace, type Namespace } from '../../../src/linux/netns.js';
import { spawnTied } from '../../../src/linux/tied-process.js';
import { functionRef } from '../../../src/model/function-ref.js';
import { Egress } from '../../../src/network/egress.js';
import type { Sandbox } from '../../../src/sandbox/engine.js';
import { EGRESS } from '../../../src/tunables/index.js';
import { BOX, CONNECTS, echoIn, FAR, METADATA, PORT } from '../../support/egress-world.js';
import { ask, SandboxBench } from '../../support/sandboxes.js';
import { untakenTo } from '../../support/untaken.js';
import { letTimePass, until } from '../../support/waiting.js';

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

/** Many times: sends much, reads nothing, and leaves without a word. What the world still has to send and to take stays. */
const LEAVES = `
  import { connect } from 'node:net';
  const much = Buffer.alloc(8_000_000);
  const once = () => new Promise((done) => {
    const socket = connect({ host: 'world.test', port: 7001 });
    socket.on('error', done).on('close', done);
    socket.once('data', () => {
      socket.pause();
      socket.write(much);
      setTimeout(() => socket.resetAndDestroy(), 300);
    });
  });
  export default async (rounds) => {
    for (let i = 0; i < rounds; i++) await Promise.all(Array.from({ length: 20 }, once));
  };`;

/** A service that reads nothing and says nothing, on the box itself. */
const DEAF = 7_002;
/** Sends there what the kernel takes, on so many connections. */
const TALKS = `
  import { connect } from 'node:net';
  const once = () => new Promise((done) => {
    const socket = connect({ host: '${BOX}', port: ${DEAF} }, () => socket.write(Buffer.alloc(8_000_000)));
    socket.on('error', done);
    setTimeout(done, 300);
  });
  export default (count) => Promise.all(Array.from({ length: count }, once));`;

/** Bytes that the kernel holds for the connection out of the box that has most of them. */
function mostHeld(): number {
  const port = `:${PORT.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1);
  const queues = lines.map((line) => line.trim().split(/\s+/)).filter((fields) => fields[2]?.endsWith(port));
  return Math.max(
    0,
    ...queues.flatMap((fields) => fields[4]!.split(':').map((hex) => Number.parseInt(hex, 16))),
  );
}

/** Calls `action` while there is hardly a free descriptor, now and then one less or one more. */
async function withoutDescriptors(action: () => Promise<unknown>): Promise<void> {
  const [, soft = ''] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  const limit = (count: number | string) =>
    execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${count}:`]);
  limit(readdirSync('/proc/self/fd').length + 64);
  const held: number[] = [];
  const fill = setInterval(() => {
    try {
      for (;;) held.push(openSync('/dev/null', 'r'));
    } catch {
      for (let i = Math.floor(Math.random() * 4); i > 0; i--) closeSync(held.pop()!);
    }
  }, 1);
  await action();
  clearInterval(fill);
  for (const fd of held) closeSync(fd);
  limit(soft);
}

/** Whoever may make a user namespace has any address in it. */
async function squat(address: string): Promise<ReturnType<typeof spawnTied>> {
  const take = `ip link add s0 type veth peer name s1 && ip address add ${address}/32 dev s0 && echo has it; exec cat`;
  const squatter = spawnTied('unshare', ['--user', '--map-root-user', '--net', 'sh', '-c', take], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(squatter.stdout!, 'data');
  return squatter;
}

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
const deaf = createServer({ pauseOnConnect: true }).listen(DEAF, BOX);
await once(deaf, 'listening');
const bench = new SandboxBench('process', { egress: new Egress([`${BOX}:7001`, `${BOX}:${DEAF}`]) });
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
  const storm = await bench.run(STORM, { egress: ['world.test:7001'], ref: functionRef('storm') });
  seen.storm = await first(storm, [300]);
  seen.refusals = await ask(
    await bench.run(LOOP, { egress: ['127.0.0.1:7001'], ref: functionRef('loop') }),
    1_000,
  );
  seen.besideStorm = await first(byName, ['world.test', 7001, 'hello']);

  const far = await bench.run(CONNECTS, { egress: [`${FAR}:7001`] });
  const squatter = await squat(FAR);
  // What the box's own addresses are is remembered for so long.
  await letTimePass(EGRESS.ownAddressesKeptMs + 100);
  seen.besideSquatter = await first(far, [FAR, 7001, 'hello']);
  squatter.kill();

  const leaver = await bench.run(LEAVES, { egress: ['world.test:7001'], ref: functionRef('leaver') });
  const before = readdirSync('/proc/self/fd').length;
  let held = 0;
  const look = setInterval(() => {
    held = Math.max(held, mostHeld());
  }, 20);
  await ask(leaver, 4);
  clearInterval(look);
  seen.held = held;
  await until(() => readdirSync('/proc/self/fd').length <= before).catch(() => undefined);
  seen.left = readdirSync('/proc/self/fd').length - before;

  const talker = await bench.run(TALKS, { egress: [`${BOX}:${DEAF}`], ref: functionRef('talker') });
  await ask(talker, 20);
  seen.untakenBefore = untakenTo(DEAF).length;
  await talker.kill();
  await until(() => untakenTo(DEAF).length === 0, undefined, 5_000).catch(() => undefined);
  seen.untaken = untakenTo(DEAF).length;

  await withoutDescriptors(async () => {
    for (let i = 0; i < 30; i++) {
      // Whether it is answered or not: the relay shall meet the want of descriptors in many states.
      await Promise.race([ask(byName, ['world.test', 7001, 'hello']), letTimePass(100)]);
    }
  });
  seen.afterwards = await Promise.race([first(far, [FAR, 7001, 'hello']), letTimePass(10_000)]);
} finally {
  // The relay's thread, too.
  await bench.close();
  await nf.close();
}
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
