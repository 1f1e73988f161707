/**
 * Boundary: what the agent, and the kernel for it, holds because somebody does not read it. Attackers: a function that
 * answers calls without reading them, a server in an image that does so, and a caller that asks for much.
 */

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect } from 'chai';
import type { CallRequest } from '../../src/model/call.js';
import type { NemoError } from '../../src/model/errors.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { SandboxReply } from '../../src/sandbox/engine.js';
import { GATEWAY_HTTP } from '../../src/tunables/index.js';
import { startBox } from '../gateway/in-process-platform.js';
import { openChannel } from '../support/http-channels.js';
import { SandboxBench } from '../support/sandboxes.js';
import { endedTo, untakenTo } from '../support/untaken.js';
import { letTimePass, until } from '../support/waiting.js';
import { SENDER } from './support/sender.js';

const BODY = Buffer.alloc(6 * 2 ** 20);
const ALL_READ = 'it answered calls that it had not read';
const CALLS = 40;
/** Open at a time, so that no answer comes for a call that is not there yet. */
const AHEAD = 3;

type Invoke = (call: CallRequest, reply: SandboxReply) => void;

/** Makes calls one after the other, a few at a time, until one fails or all were answered. Resolves with how many were. */
async function callAhead(invoke: Invoke): Promise<{ answered: number; error: NemoError | undefined }> {
  const request = {
    callId: 'c',
    ref: functionRef('probe'),
    method: 'POST',
    path: '/',
    query: '',
    headers: {},
  };
  let answered = 0;
  let error: NemoError | undefined;
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      invoke(
        { ...request, body: BODY },
        {
          onHead: () => {},
          onChunk: () => {},
          onEnd: () => {
            answered++;
            resolve();
          },
          onError: (thrown) => {
            error ??= thrown;
            resolve();
          },
        },
      );
    });
  let left = CALLS;
  const several = Array.from({ length: AHEAD }, async () => {
    while (error === undefined && left-- > 0) await one();
  });
  await Promise.all(several);
  return { answered, error };
}

describe('escape: what nobody reads', function () {
  this.timeout(20_000);

  it('ends a function that answers calls without reading them, and holds little for it', async () => {
    const bench = new SandboxBench();
    try {
      const sandbox = await bench.run(`${SENDER} export default () => {
        const cell = new Int32Array(new SharedArrayBuffer(4));
        for (let id = 1; id <= ${CALLS}; id++) {
          writeSync(3, frame(19, id));
          Atomics.wait(cell, 0, 0, 40);
        }
      }`);
      const { answered, error } = await callAhead((call, reply) =>
        sandbox.invoke(call, performance.now() + 10_000, reply),
      );
      expect(answered).to.be.greaterThan(0).and.below(CALLS);
      expect(error?.code).to.equal('FUNCTION_EXIT');
      expect(await sandbox.exited).to.include({ cause: 'killed' });
    } finally {
      await bench.close();
    }
  });

  describe('by a server in an image', () => {
    const sockets = new Set<Socket>();
    let serve: (socket: Socket) => void;
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      sockets.add(socket.on('error', () => {}));
      serve(socket);
    });
    let port = 0;
    before(async () => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      ({ port } = server.address() as { port: number });
    });
    afterEach(() => {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    });
    after(() => server.close());

    it('ends one that answers without reading what it is asked', async () => {
      serve = (socket) => {
        const timer = setInterval(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'), 20);
        socket.once('close', () => clearInterval(timer));
      };
      const violations: string[] = [];
      const channel = await openChannel(port, (reason) => {
        violations.push(reason);
        channel.endAll(() => Object.assign(new Error('ended'), { code: 'FUNCTION_EXIT' }) as never);
      });
      const { answered } = await callAhead((call, reply) => channel.call(call, 10_000, reply));
      expect(violations).to.include(ALL_READ);
      expect(answered).to.be.greaterThan(0).and.below(CALLS);
    });

    it('leaves nothing in the kernel of connections that the server ends without having read', async () => {
      serve = (socket) => {
        socket.write('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      };
      const channel = await openChannel(port);
      const { answered } = await callAhead((call, reply) => channel.call(call, 10_000, reply));
      expect(answered).to.be.greaterThan(1);
      await until(() => untakenTo(port).length <= AHEAD);
      channel.endAll(() => Object.assign(new Error('ended'), { code: 'FUNCTION_EXIT' }) as never);
      await until(() => untakenTo(port).length === 0);
    });
  });

  it('has the kernel hold little of an answer that a caller does not read', async () => {
    const box = await startBox();
    try {
      await box.serve('large', (_call, sink, timeline) => {
        sink.onHead(200, {});
        sink.onChunk(Buffer.alloc(3 * 2 ** 20));
        sink.onEnd(timeline);
      });
      const caller = connect(Number(new URL(box.gateway.url).port), '127.0.0.1');
      await once(caller, 'connect');
      const { localPort } = caller;
      caller.pause();
      caller.write('GET /function/large HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await until(() => untakenTo(localPort!).length > 0);
      expect(untakenTo(localPort!)[0]).to.be.below(2 * GATEWAY_HTTP.kernelUnsentBytes);
      // All of it comes once it is read.
      let bytes = 0;
      caller.on('data', (chunk) => {
        bytes += chunk.length;
      });
      caller.resume();
      await until(() => bytes > 3 * 2 ** 20);
      caller.destroy();
    } finally {
      await box.close();
    }
  });

  it('leaves no answer to the kernel alone whose caller does not read', async () => {
    const box = await startBox();
    try {
      await box.serve('some', (_call, sink, timeline) => {
        sink.onHead(200, {});
        sink.onChunk(Buffer.alloc(300_000));
        sink.onEnd(timeline);
      });
      const caller = connect(Number(new URL(box.gateway.url).port), '127.0.0.1').pause();
      await once(caller, 'connect');
      caller.write('GET /function/some HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
      await until(() => endedTo(caller.localPort!).ended === 1);
      // It is closed a turn after it was ended.
      await letTimePass(20);
      expect(endedTo(caller.localPort!)).to.deep.equal({ ended: 1, left: 0 });
      caller.destroy();
    } finally {
      await box.close();
    }
  });
});
