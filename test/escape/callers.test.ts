/** Boundary: a core's time. Attacker: callers who ask and leave, so that functions run for nobody. Real sockets, real sandboxes. */

import { once } from 'node:events';
import type { Socket } from 'node:net';
import { expect } from 'chai';
import type { FeedFunction } from '../../src/model/feed.js';
import { rawSocket, untilText } from '../gateway/http-client.js';
import { RealAgent } from '../support/real-agent.js';
import { until } from '../support/waiting.js';

const HOST = 'Host: 127.0.0.1\r\n';
/** Longer than any test: what ends sooner was ended for its caller's sake. */
const LONG = { timeout: '600s' };

const POLITE = `export default (event, context) => new Promise((resolve) => {
  console.log('begun');
  context.signal.addEventListener('abort', () => { console.log('told'); resolve('stopped'); });
});`;
const STUBBORN = `export default () => { console.log('begun'); return new Promise(() => {}); };`;
const SPINNING = `export default () => { console.log('begun'); for (;;) {} };`;
const STREAMING = `export default async function* () {
  try { for (;;) { yield 'tick'; await new Promise((next) => setTimeout(next, 20)); } }
  finally { console.log('stream over'); }
}`;

describe('escape: callers who leave', function () {
  this.timeout(60_000);
  let agent: RealAgent;
  before(async () => {
    agent = await new RealAgent().start();
    for (const [name, code] of Object.entries({
      polite: POLITE,
      stubborn: STUBBORN,
      spinning: SPINNING,
      streaming: STREAMING,
    })) {
      expect((await agent.deploy(name, code, LONG)).status).to.equal(201);
    }
    expect((await agent.deploy('shared', STUBBORN, { ...LONG, concurrency: 4 })).status).to.equal(201);
  });
  after(() => agent.close());

  const call = async (name: string): Promise<Socket> => {
    const socket = await rawSocket(Number(new URL(agent.url).port));
    socket.write(`GET /function/${name} HTTP/1.1\r\n${HOST}\r\n`);
    return socket;
  };
  const leave = async (...sockets: Socket[]): Promise<void> => {
    for (const socket of sockets) {
      socket.resetAndDestroy();
      if (!socket.closed) await once(socket, 'close');
    }
  };
  const state = (holds: (fn: FeedFunction) => boolean, name: string): Promise<unknown> =>
    agent.until((frame) => {
      const fn = frame.functions.find((one) => one.name === name);
      return fn !== undefined && holds(fn);
    });
  const printed = async (name: string, text: string): Promise<void> => {
    await until(async () => (await agent.logs(name)).includes(text));
  };
  const sandboxes = async (name: string): Promise<number[]> => {
    const { functions } = await agent.status();
    return functions.find((one) => one.name === name)!.sandboxes.map(({ pid }) => pid);
  };

  it('tell a function that runs, before its first byte; one that stops keeps its sandbox', async () => {
    const socket = await call('polite');
    await printed('polite', 'begun');
    const before = await sandboxes('polite');
    await leave(socket);
    await printed('polite', 'told');
    await state((fn) => fn.inFlight === 0, 'polite');
    expect(await sandboxes('polite')).to.deep.equal(before);
  });

  for (const name of ['stubborn', 'spinning']) {
    it(`end the sandbox of a function that goes on for nobody (${name}), and its core is free`, async () => {
      const socket = await call(name);
      await printed(name, 'begun');
      const [pid] = await sandboxes(name);
      await leave(socket);
      await state((fn) => fn.inFlight === 0 && !fn.sandboxes.some((one) => one.pid === pid), name);
      const { functions } = await agent.status();
      // Nothing of the function failed.
      expect(functions.find((one) => one.name === name)!.failed).to.equal(0);
    });
  }

  it('leave the queue at once, all of them, and those behind them get their turn', async () => {
    const runs = await call('spinning');
    await state((fn) => fn.inFlight === 1, 'spinning');
    const waiting = await Promise.all(Array.from({ length: 40 }, () => call('spinning')));
    // Some were sent ahead into its sandbox.
    await state((fn) => fn.queued + fn.inFlight === 41 && fn.queued > 30, 'spinning');
    await leave(...waiting);
    await state((fn) => fn.queued === 0, 'spinning');
    const behind = await call('spinning');
    await leave(runs);
    await state((fn) => fn.queued === 0 && fn.inFlight === 1, 'spinning');
    expect(behind.destroyed).to.equal(false);
    await leave(behind);
    await state((fn) => fn.inFlight === 0, 'spinning');
  });

  it('do not end the calls of others in the same sandbox', async () => {
    const stays = await call('shared');
    const leaves = await call('shared');
    await state((fn) => fn.inFlight === 2, 'shared');
    const [pid] = await sandboxes('shared');
    await leave(leaves);
    // A second round of it, until its grace has certainly passed: one that leaves alone elsewhere has been ended.
    const alone = await call('stubborn');
    await state((fn) => fn.inFlight === 1, 'stubborn');
    await leave(alone);
    await state((fn) => fn.inFlight === 0, 'stubborn');
    expect(await sandboxes('shared')).to.contain(pid);
    expect(stays.destroyed).to.equal(false);
    await leave(stays);
    await state((fn) => fn.inFlight === 0 && !fn.sandboxes.some((one) => one.pid === pid), 'shared');
  });

  it('end a stream in its middle', async () => {
    const socket = await call('streaming');
    expect(await untilText(socket, /tick/)).to.not.contain('stream over');
    await leave(socket);
    await printed('streaming', 'stream over');
    await state((fn) => fn.inFlight === 0, 'streaming');
  });

  it('hear nothing of stacks and of what was printed to stderr; the log of the function does', async () => {
    await agent.deploy(
      'throws',
      `export default () => { console.error('secret-1'); throw new Error('no'); };`,
    );
    await agent.deploy(
      'exits',
      `export default () => { process.stderr.write('secret-2\\n', () => process.exit(3)); return new Promise(() => {}); };`,
    );
    await agent.deploy(
      'breaks',
      `console.error('secret-3'); throw new Error('at load'); export default () => 1;`,
    );
    await agent.deploy('crashes', `console.error('secret-4'); process.exit(4); export default () => 1;`);
    for (const [name, secret] of [
      ['throws', 'secret-1'],
      ['exits', 'secret-2'],
      ['breaks', 'secret-3'],
      ['crashes', 'secret-4'],
    ] as const) {
      const { body, status } = await agent.call(name);
      expect(status, body).to.be.at.least(500);
      expect(body).to.not.match(/secret|stack|stderr|\.mjs|\n\s*at /);
      await printed(name, secret);
    }
    expect((await agent.logs('throws')).join('\n')).to.match(/ at .*throws\.ts:1:\d+/);
  });
});
