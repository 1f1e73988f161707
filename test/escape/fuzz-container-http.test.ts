/** What an image's HTTP server answers, over real sockets: the agent's end of them is the real one too. */

import { EventEmitter, once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { HttpChannel } from '../../src/engine/oci/http-channel.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { ChannelEvents } from '../../src/sandbox/channel.js';
import type { LoadOptions } from '../../src/sandbox/engine.js';
import { OCI } from '../../src/tunables/index.js';
import { FUZZ_TIMEOUT_MS, fuzzAsync } from '../support/fuzz.js';
import { letTimePass } from '../support/waiting.js';
import { inPieces } from './support/hostile-bytes.js';

const LOAD: LoadOptions = {
  ...{ ref: functionRef('f'), source: { kind: 'image' }, bundlePath: '', env: {} },
  ...{ memoryBytes: 1, timeoutMs: 1_000 },
};
const REQUEST = {
  ...{ callId: 'x', ref: functionRef('f'), method: 'GET', path: '/', query: '', headers: {} },
  body: Buffer.alloc(0),
};

const statusLine = fc.oneof(
  fc.constantFrom(200, 204, 304, 100, 101, 103, 199, 599, 600, 999, 0).map((code) => `HTTP/1.1 ${code} x`),
  fc.constantFrom('HTTP/1.0 200', 'HTTP/2 200 OK', 'HTTP/1.1 200', '200 OK', 'SSH-2.0-x', 'HTTP/1.1 -1 x'),
);
const header = fc.oneof(
  fc.constantFrom(
    ...[
      'content-length: 4',
      'content-length: 0',
      'content-length: 99999999999999999999',
      'content-length: -1',
    ],
    ...['transfer-encoding: chunked', 'transfer-encoding: gzip', 'connection: close', 'connection: upgrade'],
    ...['upgrade: websocket', 'set-cookie: a=1', 'set-cookie: b=2', '__proto__: x', 'x-a: \u00ff\u00fe'],
    ...[' folded', 'no colon', ': no name', 'x y: z', 'keep-alive: timeout=0', 'trailer: x-t'],
  ),
  fc.string({ maxLength: 40 }).map((value) => `x-b: ${value}`),
);
const body = fc.constantFrom(
  ...['', 'good', 'more than it said', '4\r\ngood\r\n0\r\n\r\n', '4\r\ngood\r\n0\r\nx-t: 1\r\n\r\n'],
  ...['ffffffffffffffffff\r\n', 'zz\r\n', '4;name=value\r\ngood\r\n', '1\r\nx\r\n'.repeat(50), '0\r\n'],
);
const answer = fc
  .tuple(statusLine, fc.array(header, { maxLength: 4 }), body)
  .map(([line, headers, content]) => `${[line, ...headers].join('\r\n')}\r\n\r\n${content}`);
const answers = inPieces(
  fc.array(answer, { minLength: 1, maxLength: 3 }).map((all) => Buffer.from(all.join(''), 'latin1')),
);

interface Bench {
  channel: HttpChannel;
  violations: string[];
  faults: string[];
  port: number;
  close(): Promise<void>;
}

/** A channel whose container is a server of this process. `serve`: what the container does with a connection. */
async function openBench(serve: (socket: Socket) => void): Promise<Bench> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const gate = Object.assign(new EventEmitter(), { write: () => true, pause: () => undefined });
  const violations: string[] = [];
  const faults: string[] = [];
  let loaded = (): void => {};
  const events: ChannelEvents = {
    onReady: () => {},
    onLoaded: () => loaded(),
    onLoadFailed: () => {},
    onViolation: (reason) => void violations.push(reason),
    onFault: (error) => void faults.push(error.message),
  };
  const channel = new HttpChannel(gate as unknown as Socket, events, () => connect(port, '127.0.0.1'));
  await new Promise<void>((resolve) => {
    loaded = resolve;
    channel.load(LOAD);
  });
  return {
    ...{ channel, violations, faults, port },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** How a call ended: `h` head, `c` chunk, `e` end, `x` error. */
function call({ channel }: Bench, told: { text: string; bytes: number }): Promise<void> {
  return new Promise((resolve) => {
    channel.call(REQUEST, 1_000, {
      onHead(status, headers) {
        told.text += 'h';
        if (status < 200 || status > 599 || 'transfer-encoding' in headers) told.text += '!';
      },
      onChunk(chunk) {
        told.text += 'c';
        told.bytes += chunk.length;
      },
      onEnd() {
        told.text += 'e';
        resolve();
      },
      onError() {
        told.text += 'x';
        resolve();
      },
    });
  });
}

describe('hostile messages from a container', function () {
  this.timeout(FUZZ_TIMEOUT_MS);

  it('costs little with a server that never listens, and finds one that is slow to', async () => {
    const gate = Object.assign(new EventEmitter(), { write: () => true, pause: () => undefined });
    let looks = 0;
    const bench = await openBench(() => {});
    const { port } = bench;
    const events = { onReady: () => {}, onLoadFailed: () => {}, onViolation: () => {}, onFault: () => {} };
    const forMs = 1_000;
    const from = performance.now();
    await new Promise<void>((resolve) => {
      const slow = new HttpChannel(
        gate as unknown as Socket,
        { ...events, onLoaded: () => resolve() },
        () => {
          looks++;
          return performance.now() - from < forMs ? undefined : connect(port, '127.0.0.1');
        },
      );
      slow.load(LOAD);
    });
    await bench.close();
    // 2 ms apart for the first 40 ms, then each a twentieth later than the one before.
    expect(looks).to.be.greaterThan(3).and.below(100);
  });

  it('hostile messages in HTTP: a call has one head and one end, or an error', async () => {
    await fuzzAsync(
      answers,
      async (pieces) => {
        const bench = await openBench((socket) => {
          socket.once('data', () => {
            for (const piece of pieces) socket.write(piece);
            socket.end();
          });
        });
        const told = { text: '', bytes: 0 };
        const ended = call(bench, told);
        // The last words of a process are awaited before a call fails: its sandbox ends here at once.
        await Promise.race([ended, letTimePass(OCI.connectWaitMs + 20)]);
        bench.channel.endAll(() => Object.assign(new Error('ended'), { code: 'FUNCTION_EXIT' }) as never);
        await ended;
        await bench.close();
        expect(told.text).to.match(/^(hc*[ex]|x)$/);
        expect(bench.faults).to.deep.equal([]);
        return true;
      },
      0.02,
    );
  });

  /** Sends `piece` as fast as it is taken, after `head`, until the connection ends. */
  const flood = (head: string, piece: string) => (socket: Socket) => {
    const pieces = piece.repeat(Math.ceil(60_000 / piece.length));
    const pump = (): void => {
      while (!socket.destroyed && socket.write(pieces));
    };
    socket.once('data', () => {
      socket.write(head);
      socket.on('drain', pump);
      pump();
    });
  };
  const endless: Array<[what: string, head: string, piece: string]> = [
    ['names of chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4;', 'x=y;'],
    ['trailers', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n', 'x-t: y\r\n'],
    ['heads', 'HTTP/1.1 200 OK\r\n', 'x-h: y\r\n'],
    ['one header', 'HTTP/1.1 200 OK\r\nx-h: ', 'yyyyyyyy'],
    ['status', 'HTTP/1.1 200 ', 'OKOKOKOK'],
    ['informational answers', '', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'],
  ];
  for (const [what, head, piece] of endless) {
    it(`hostile messages in HTTP: endless ${what} end the call`, async () => {
      const bench = await openBench(flood(head, piece));
      const told = { text: '', bytes: 0 };
      const ended = call(bench, told);
      // As the sandbox does.
      const timer = setInterval(() => {
        if (bench.violations.length > 0)
          bench.channel.endAll(() => Object.assign(new Error('ended'), { code: 'FUNCTION_EXIT' }) as never);
      }, 5);
      await ended;
      clearInterval(timer);
      await bench.close();
      expect(told.text).to.match(/^h?x$/);
      expect(told.bytes).to.equal(0);
    });
  }
});
