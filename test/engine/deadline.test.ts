import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import type { CallRequest } from '../../src/model/call.js';
import { functionRef } from '../../src/model/function-ref.js';
import { openChannel } from '../support/http-channels.js';
import { ask, SandboxBench } from '../support/sandboxes.js';

const HOLD_MS = 150;

/** Says what was left of its time when it began; asked for it, only when that has become less. */
const REMAINING = `export default async (hold, context) => {
  const remaining = context.remainingTimeMs();
  while (hold && context.remainingTimeMs() > remaining - ${HOLD_MS}) await new Promise((next) => setTimeout(next, 5));
  return remaining;
};`;

describe('the deadline that a function is told', () => {
  for (const kind of ['process', 'isolate']) {
    describe(`in an engine of the kind ${kind}`, () => {
      const bench = new SandboxBench(kind, { group: 'deadlines' });
      after(() => bench.close());

      it('counts from its begin, not from when it was sent ahead', async () => {
        const sandbox = await bench.run(REMAINING);
        const [first, ahead] = await Promise.all([ask(sandbox, true), ask(sandbox, false)]);
        expect(first, 'ms').to.be.within(1, 10_000);
        // The first one held it for longer than a sandbox takes to begin a call that it has.
        expect(ahead, 'ms').to.be.within(10_000 - HOLD_MS, 10_000);
      });
    });
  }

  describe('in an image that is an HTTP server', () => {
    let server: Server;
    afterEach(() => new Promise((closed) => server.close(closed)));

    it('counts from its begin, not from when it was sent ahead, and calls come in order', async () => {
      const seen: Array<{ path: string; remainingMs: number }> = [];
      let answerFirst: (() => void) | undefined;
      server = createServer((request, response) => {
        const remainingMs = Number(request.headers['x-nemo-deadline-ms']) - Date.now();
        seen.push({ path: request.url!, remainingMs });
        if (request.url === '/1') answerFirst = () => response.end();
        else response.end();
      });
      await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
      const channel = await openChannel((server.address() as AddressInfo).port);
      const send = (path: string, gone = false) =>
        new Promise<string>((resolve) => {
          const request: CallRequest = {
            ...{ callId: path, ref: functionRef('f'), method: 'GET', path, query: '' },
            ...{ headers: {}, body: Buffer.alloc(0) },
          };
          channel.call(request, 10_000, {
            onHead: () => {},
            onChunk: () => {},
            onEnd: () => resolve('answered'),
            onError: ({ code }) => resolve(code),
            gone,
          });
        });
      const calls = [send('/1'), send('/2'), send('/left', true), send('/3')];
      // One that left while it waited never begins.
      channel.callersLeft();
      expect(await calls[2]).to.equal('CALLER_LEFT');
      await new Promise((held) => setTimeout(held, HOLD_MS));
      answerFirst!();
      expect(await Promise.all(calls)).to.deep.equal(['answered', 'answered', 'CALLER_LEFT', 'answered']);
      expect(seen.map(({ path }) => path)).to.deep.equal(['/1', '/2', '/3']);
      for (const { remainingMs } of seen.slice(1)) {
        expect(remainingMs, 'ms').to.be.within(10_000 - HOLD_MS + 1, 10_000);
      }
      channel.endAll(() => {
        throw new Error('nothing is open');
      });
    });
  });
});
