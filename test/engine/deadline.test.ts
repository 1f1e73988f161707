import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import type { CallRequest } from '../../src/model/call.js';
import { functionRef } from '../../src/model/function-ref.js';
import { openChannel } from '../support/http-channels.js';
import { ask, SandboxBench } from '../support/sandboxes.js';
import { letTimePass } from '../support/waiting.js';

const HOLD_MS = 150;

/** Says when its time is over; asked for it, only after a while. */
const DEADLINE = `export default async (hold, context) => {
  const remaining = context.remainingTimeMs();
  while (hold && context.remainingTimeMs() > remaining - ${HOLD_MS}) await new Promise((next) => setTimeout(next, 5));
  return context.deadlineMs;
};`;

describe('the deadline that a function is told', () => {
  for (const kind of ['process', 'isolate']) {
    describe(`in an engine of the kind ${kind}`, () => {
      const bench = new SandboxBench(kind, { group: 'deadlines' });
      after(() => bench.close());

      it('counts from its begin, not from when it was sent ahead', async () => {
        const sandbox = await bench.run(DEADLINE);
        const [first, ahead] = (await Promise.all([ask(sandbox, true), ask(sandbox, false)])) as number[];
        expect(first! - Date.now(), 'ms left').to.be.at.most(10_000);
        // Counted from when they were sent, both would be over at the same time.
        expect(ahead! - first!, 'ms').to.be.at.least(HOLD_MS - 1);
      });
    });
  }

  describe('in an image that is an HTTP server', () => {
    let server: Server;
    afterEach(() => new Promise((closed) => server.close(closed)));

    it('counts from its begin, not from when it was sent ahead, and calls come in order', async () => {
      const seen: Array<{ path: string; deadlineMs: number }> = [];
      let answerFirst: (() => void) | undefined;
      server = createServer((request, response) => {
        seen.push({ path: request.url!, deadlineMs: Number(request.headers['x-nemo-deadline-ms']) });
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
      // Counted from when they were sent, all would be over at the same time.
      await letTimePass(HOLD_MS);
      answerFirst!();
      expect(await Promise.all(calls)).to.deep.equal(['answered', 'answered', 'CALLER_LEFT', 'answered']);
      expect(seen.map(({ path }) => path)).to.deep.equal(['/1', '/2', '/3']);
      for (const { deadlineMs } of seen.slice(1))
        expect(deadlineMs - seen[0]!.deadlineMs, 'ms').to.be.at.least(HOLD_MS - 1);
      channel.endAll(() => {
        throw new Error('nothing is open');
      });
    });
  });
});
