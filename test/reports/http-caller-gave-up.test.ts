/** Report: six callers who gave up kept five sandboxes busy. They close their connections, which TCP tells as a FIN. */

import { EventEmitter, once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect } from 'chai';
import { functionRef } from '../../src/model/function-ref.js';
import type { ReplySink } from '../../src/model/reply-sink.js';
import { rawSocket, untilText } from '../gateway/http-client.js';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';
import { openChannel } from '../support/http-channels.js';
import { letTimePass } from '../support/waiting.js';

const ask = (version: string): string => `GET /function/waits HTTP/${version}\r\nHost: localhost\r\n\r\n`;

describe('report: a caller that gave up', function () {
  this.timeout(10_000);
  let box: TestBox;
  let began: (sink: ReplySink) => void;
  before(async () => {
    box = await startBox();
    await box.serve('waits', (_call, sink) => began(sink));
  });
  after(() => box.close());
  /** A call that runs, and its caller. */
  const call = async (version = '1.1'): Promise<{ sink: ReplySink; socket: Socket; left: Promise<void> }> => {
    const running = new Promise<ReplySink>((resolve) => {
      began = resolve;
    });
    const socket = await rawSocket(box.gateway.port);
    socket.write(ask(version));
    const sink = await running;
    return { sink, socket, left: new Promise((resolve) => sink.whenLeft!(resolve)) };
  };

  it('is noticed before its answer begins, and in the middle of one', async () => {
    const before = await call();
    const streamed = await call();
    streamed.sink.onHead(200, {});
    const head = untilText(streamed.socket, /\r\n\r\n/);
    await head;
    before.socket.destroy();
    streamed.socket.destroy();
    await before.left;
    // A stream writes by itself.
    const tick = setInterval(() => streamed.sink.onChunk(Buffer.from('tick')), 10);
    await streamed.left;
    clearInterval(tick);
    expect([before.sink.gone, streamed.sink.gone]).to.deep.equal([true, true]);
  });

  it('is noticed by HTTP/1.0, too, also by one that gives up just before its second is over', async () => {
    const { socket, left, sink } = await call('1.0');
    // What asks whether a caller is there does so each second.
    await letTimePass(900);
    socket.end();
    await left;
    expect(sink.gone).to.equal(true);
  });

  it('ends its connection to the server of an image, and frees the sandbox', async () => {
    const heard = new EventEmitter();
    const server = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => heard.emit('asked'));
      socket.once('close', () => heard.emit('closed'));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const channel = await openChannel(port);
    const request = { callId: 'x', ref: functionRef('f'), method: 'GET', path: '/', query: '', headers: {} };
    const asked = once(heard, 'asked');
    const codes: string[] = [];
    const caller = { gone: false };
    for (let i = 0; i < 2; i++) {
      channel.call({ ...request, body: Buffer.alloc(0) }, 60_000, {
        ...{ onHead: () => undefined, onChunk: () => undefined, onEnd: () => undefined },
        onError: ({ code }) => void codes.push(code),
        get gone() {
          return caller.gone;
        },
      });
    }
    await asked;
    const closed = once(heard, 'closed');
    caller.gone = true;
    channel.callersLeft();
    expect(channel.inFlight).to.equal(0);
    expect(codes).to.deep.equal(['CALLER_LEFT', 'CALLER_LEFT']);
    await closed;
    channel.endAll(() => Object.assign(new Error('ended')) as never);
    server.close();
  });
});
