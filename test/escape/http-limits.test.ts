/** Boundary: the gateway's memory and places. Attacker: many clients, or one that holds much and reads nothing. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import type { CallTimeline } from '../../src/model/call.js';
import type { LogLine } from '../../src/model/function.js';
import type { ReplySink } from '../../src/model/reply-sink.js';
import { FEED_SERVER, GATEWAY_HTTP } from '../../src/tunables/index.js';
import { ask, untilClosed, untilText } from '../gateway/http-client.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { heapBytes } from '../support/heap.js';
import { until } from '../support/waiting.js';

const HOST = 'Host: localhost\r\n';
const MIB = 2 ** 20;

describe('escape: limits of the gateway', function () {
  this.timeout(30_000);
  let box: TestBox;
  let held: ReplySink[] = [];
  before(async () => {
    box = await startBox({
      functionsPort: 0,
      limits: {
        connectionsMax: 12,
        connectionsPerAddressMax: 8,
        bodiesMaxBytes: 8 * MIB,
        backlogsMaxBytes: 8 * MIB,
        answerStallMs: 400,
      },
    });
    await box.serve('echo', echo);
    await box.serve('hold', (_call, sink) => void held.push(sink));
    await box.serve('large', (_call, sink, timeline) => {
      held.push(sink);
      sink.onHead(200, {});
      sink.onChunk(Buffer.alloc(6 * MIB));
      sink.onEnd(timeline);
    });
    await box.serve('stream', (_call, sink) => {
      held.push(sink);
      sink.onHead(200, {});
    });
  });
  after(() => box.close());
  const open: Socket[] = [];
  beforeEach(() => {
    held = [];
  });
  /** Every abuse is followed by an ordinary call: the gateway must be as before. */
  afterEach(async () => {
    for (const socket of open.splice(0)) {
      socket.destroy();
      if (!socket.closed) await once(socket, 'close');
    }
    await untilAnswered(() =>
      ask(`${box.gateway.url}/function/echo`, { method: 'POST', body: 'still here' }),
    );
  });
  const dial = async (port = box.gateway.port, localAddress = '127.0.0.1'): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    socket.on('error', () => undefined);
    open.push(socket);
    await once(socket, 'connect');
    return socket;
  };
  /** True if it is answered, false if it was hung up on. */
  const served = async (socket: Socket): Promise<boolean> => {
    const answered = untilText(socket, / 200 OK/).then(
      () => true,
      () => false,
    );
    socket.write(`GET /healthz HTTP/1.1\r\n${HOST}\r\n`);
    return answered;
  };

  it('leaves places for others when one address takes all that it can, on both ports', async () => {
    const own = Number(new URL(box.gateway.functionsUrl!).port);
    const first: boolean[] = [];
    for (let i = 0; i < 6; i++) first.push(await served(await dial()));
    expect(first).to.deep.equal(Array(6).fill(true));
    for (let i = 0; i < 2; i++) await dial(own);
    // The ninth of this address, and one of another address.
    expect(await served(await dial())).to.equal(false);
    expect(await served(await dial(box.gateway.port, '127.0.0.2'))).to.equal(true);
    // One that leaves makes room for another one.
    open[0]!.destroy();
    await once(open[0]!, 'close');
    await until(async () => served(await dial()));
  });

  it('takes no more connections than it has places for', async () => {
    const there: boolean[] = [];
    for (let i = 0; i < 14; i++)
      there.push(await served(await dial(box.gateway.port, `127.0.0.${3 + (i % 3)}`)));
    expect(there.filter((one) => one)).to.have.length(12);
    expect(there.slice(12)).to.deep.equal([false, false]);
  });

  it('holds no more bodies than it has memory for, over all clients, and forgets those of clients that left', async () => {
    const sockets = [await dial(), await dial(), await dial()];
    // Whose bytes are read first is the kernel's business.
    const refused = Promise.any(sockets.map((socket) => untilText(socket, /"OVERLOADED"/)));
    for (const socket of sockets) {
      // All but the end, which is never sent.
      socket.write(`POST /function/echo HTTP/1.1\r\n${HOST}Content-Length: ${2 * MIB}\r\n\r\n`);
      socket.write(Buffer.alloc(1.6 * MIB));
    }
    expect(await refused)
      .to.match(/^HTTP\/1\.1 429/)
      .and.contain('Retry-After');
    const deploy = { method: 'PUT', body: JSON.stringify({ code: ' '.repeat(2 * MIB) }) };
    expect((await ask(`${box.gateway.url}/v1/functions/big`, deploy)).status).to.equal(429);
    for (const socket of sockets) socket.destroy();
    await Promise.all(sockets.map((socket) => socket.closed || once(socket, 'close')));
    await untilAnswered(() =>
      ask(`${box.gateway.url}/function/echo`, { method: 'POST', body: Buffer.alloc(3 * MIB) }),
    );
  });

  it('leaves room for the bodies of others when one client holds all that it can', async () => {
    let refused = 0;
    for (let i = 0; i < 3; i++) {
      const socket = await dial();
      void untilText(socket, /"OVERLOADED"/).then(
        () => refused++,
        () => undefined,
      );
      socket.write(`POST /function/hold HTTP/1.1\r\n${HOST}Content-Length: ${2.5 * MIB}\r\n\r\n`);
      socket.write(Buffer.alloc(2.5 * MIB));
    }
    await until(() => held.length + refused === 3);
    const other = await dial(box.gateway.port, '127.0.0.2');
    other.write(`POST /function/echo HTTP/1.1\r\n${HOST}Content-Length: ${MIB}\r\n\r\n`);
    other.write(Buffer.alloc(MIB));
    expect(await untilText(other, /HTTP\/1\.1 \d+/)).to.match(/^HTTP\/1\.1 200 /);
    for (const sink of held) {
      sink.onHead(204, {});
      sink.onEnd(TIMELINE);
    }
  });

  it('counts bodies until their calls have ended', async () => {
    const post = async (name: string): Promise<Socket> => {
      const socket = await dial();
      socket.write(`POST /function/${name} HTTP/1.1\r\n${HOST}Content-Length: ${1.5 * MIB}\r\n\r\n`);
      socket.write(Buffer.alloc(1.5 * MIB));
      return socket;
    };
    const waiting = [await post('hold'), await post('hold')];
    await until(() => held.length === 2);
    const third = await post('hold');
    expect(await untilText(third, /"OVERLOADED"/)).to.match(/^HTTP\/1\.1 429/);
    for (const sink of held) {
      sink.onHead(204, {});
      sink.onEnd(TIMELINE);
    }
    await Promise.all(waiting.map((socket) => untilText(socket, / 204 /)));
    expect(await untilText(await post('echo'), / 200 OK/)).to.be.a('string');
  });

  it('hangs up on a connection that floods it with requests before it reads an answer', async () => {
    for (const request of ['GET /function/hold', 'GET /v1/functions/echo/logs?follow=1']) {
      const socket = await dial();
      const closed = untilClosed(socket);
      socket.write(`${request} HTTP/1.1\r\n${HOST}\r\n`.repeat(GATEWAY_HTTP.pipelinedMax + 8));
      await closed;
      expect(held.length).to.be.at.most(GATEWAY_HTTP.pipelinedMax);
    }
  });

  for (const [what, request] of [
    ['of a name that is not its own', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
    ['of functions that are not there', `GET /function/none HTTP/1.1\r\n${HOST}\r\n`],
    ['for the server itself', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`],
    ['with an expectation that is not known', `GET / HTTP/1.1\r\n${HOST}Expect: much\r\n\r\n`],
  ] as const) {
    it(`hangs up on a flood of requests ${what}, whose answers wait behind one that does not end`, async () => {
      const socket = await dial();
      const closed = untilClosed(socket);
      socket.write(
        `GET /function/hold HTTP/1.1\r\n${HOST}\r\n${request.repeat(GATEWAY_HTTP.pipelinedMax * 2)}`,
      );
      await closed;
      const [sink] = held.splice(0);
      expect(sink!.gone).to.equal(true);
    });
  }

  it('hangs up earlier on one whose requests have long headers', async () => {
    const socket = await dial();
    const closed = new Promise<void>((gone) => socket.once('close', () => gone()));
    const long = `X-Long: ${'x'.repeat(8 * 1024)}\r\n`;
    socket.resume();
    socket.write(`GET /function/hold HTTP/1.1\r\n${HOST}${long}\r\n`.repeat(GATEWAY_HTTP.pipelinedMax));
    await closed;
    expect(held.length).to.be.at.most(10);
  });

  it('holds a body in about as much memory as it has bytes, in however short pieces it comes', async () => {
    const socket = await dial();
    socket.write(`POST /function/echo HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`);
    const before = heapBytes();
    const pieces = '1\r\nx\r\n'.repeat(5_000);
    for (let i = 0; i < 40; i++) await new Promise((sent) => socket.write(pieces, sent));
    expect(heapBytes() - before).to.be.below(8 * MIB);
    const answered = untilText(socket, /\r\n\r\nx{200000}$/);
    socket.write('0\r\n\r\n');
    expect(await answered).to.match(/^HTTP\/1\.1 200/);
  });

  it('cuts off who does not read an answer, however whole it is, and frees what waited for him', async () => {
    const socket = await dial();
    socket.pause();
    socket.write(`GET /function/large HTTP/1.1\r\n${HOST}\r\n`);
    // Nothing is read: the kernel's buffers fill, then nothing moves any more.
    await until(() => held[0]?.gone === true);
    const closed = once(socket, 'close');
    socket.resume();
    await closed;
    expect(socket.bytesRead).to.be.below(6 * MIB);
  });

  it('holds no more answers than it has memory for, over all clients', async () => {
    const readers: Socket[] = [];
    for (let i = 0; i < 4; i++) {
      const socket = await dial();
      socket.pause();
      socket.write(`GET /function/stream HTTP/1.1\r\n${HOST}\r\n`);
      readers.push(socket);
      await until(() => held.length === i + 1);
    }
    // Each is below the bound of one client (16 MiB); four are above that of all.
    for (const sink of held) for (let i = 0; i < 10; i++) sink.onChunk(Buffer.alloc(MIB / 2));
    const gone = held.filter((sink) => sink.gone === true);
    expect(gone.length).to.be.within(1, 3);
    const backlog = held.reduce((sum, sink) => sum + (sink.gone ? 0 : (sink.backlogBytes ?? 0)), 0);
    expect(backlog).to.be.at.most(9 * MIB);
  });

  it('holds no more answers of the API than it has memory for, and serves others meanwhile', async () => {
    for (let i = 0; i < 127; i++) box.platform.logs.append({ ...LINE, text: 'x'.repeat(8 * 1024) });
    const idle: Socket[] = [];
    for (let i = 0; i < 3; i++) {
      const socket = await dial();
      socket.pause();
      // A megabyte each.
      socket.write(`GET /v1/functions/echo/logs?tail=1000 HTTP/1.1\r\n${HOST}\r\n`.repeat(16));
      idle.push(socket);
    }
    // Who is beyond the memory that there is ends at once, and who takes nothing a little later.
    const logs = `${box.gateway.url}/v1/functions/echo/logs?tail=1000`;
    expect((await ask(logs)).body.length).to.be.above(MIB);
    expect(box.gateway.unsentBytes).to.be.at.most(8 * MIB);
    await until(() => box.gateway.unsentBytes === 0);
    for (const socket of idle) {
      const gone = socket.closed || once(socket, 'close');
      socket.resume();
      await gone;
      expect(socket.bytesRead).to.be.below(16 * MIB);
    }
  });

  it('makes no answer of the API for who has not taken the one before', async () => {
    const { list } = box.platform.registry;
    let made = 0;
    box.platform.registry.list = () => {
      made++;
      return Array.from({ length: 20_000 }, () => box.platform.registry.get('echo')!);
    };
    const socket = await dial();
    socket.pause();
    socket.write(`GET /v1/functions HTTP/1.1\r\n${HOST}\r\n`.repeat(32));
    await until(() => box.gateway.unsentBytes > 0);
    await until(() => box.gateway.unsentBytes === 0);
    expect(made).to.be.within(1, 3);
    // Who reads gets all of them.
    made = 0;
    const reader = await dial();
    reader.resume().write(`GET /v1/functions HTTP/1.1\r\n${HOST}\r\n`.repeat(4));
    await until(() => made === 4);
    expect(await served(reader)).to.equal(true);
    box.platform.registry.list = list;
  });

  it('cuts off who asks for many small answers and reads none', async () => {
    await box.serve('small', (_call, sink, timeline) => {
      sink.onHead(200, {});
      sink.onChunk(Buffer.alloc(60 * 1024));
      sink.onEnd(timeline);
    });
    const socket = await dial();
    socket.pause();
    // As soon as the kernel's buffers are full, nothing is read of what is asked, and nothing is answered.
    const asking = `GET /function/small HTTP/1.1\r\n${HOST}\r\n`.repeat(GATEWAY_HTTP.pipelinedMax / 2);
    while (!socket.destroyed) await new Promise((sent) => socket.write(asking, sent));
    expect(box.gateway.unsentBytes).to.equal(0);
  });

  it('keeps a client that reads, whose answer waits behind a slow one of the same connection', async () => {
    const socket = await dial();
    const ask = (name: string): string => `GET /function/${name} HTTP/1.1\r\n${HOST}\r\n`;
    await box.serve('middle', (_call, sink, timeline) => {
      sink.onHead(200, {});
      sink.onChunk(Buffer.alloc(MIB));
      sink.onEnd(timeline);
    });
    socket.resume().write(ask('large') + ask('hold') + ask('middle'));
    await until(() => held.length === 2 && socket.bytesRead > 6 * MIB);
    await until(() => box.gateway.unsentBytes >= MIB);
    // Others that read nothing are cut off meanwhile, one after the other.
    for (let i = 2; i < 4; i++) {
      const idle = await dial();
      idle.pause();
      idle.write(ask('large'));
      await until(() => held[i]?.gone === true);
    }
    held[1]!.onHead(204, {});
    held[1]!.onEnd(TIMELINE);
    await until(() => socket.bytesRead > 7 * MIB);
    expect(await served(socket)).to.equal(true);
    expect(box.gateway.unsentBytes).to.equal(0);
  });

  it('leaves places for other readers of the feed and of logs when one client takes all that it can', async () => {
    const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';
    const feed = `GET /feed HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`;
    const logs = `GET /v1/functions/echo/logs?follow=1 HTTP/1.1\r\n${HOST}\r\n`;
    const crowded = await startBox();
    await crowded.serve('echo', echo);
    const statusOf = async (text: string, localAddress: string): Promise<string> => {
      const socket = await dial(crowded.gateway.port, localAddress);
      socket.write(text);
      return (await untilText(socket, /^HTTP\/1\.1 \d+/)).slice(9, 12);
    };
    const statuses = async (text: string, asked: number): Promise<Set<string>> =>
      new Set(await Promise.all(Array.from({ length: asked }, () => statusOf(text, '127.0.0.1'))));
    expect(await statuses(feed, FEED_SERVER.readersMax)).to.have.keys('101', '503');
    expect(await statusOf(feed, '127.0.0.2')).to.equal('101');
    expect(await statuses(logs, GATEWAY_HTTP.logFollowersMax)).to.have.keys('200', '429');
    expect(await statusOf(logs, '127.0.0.2')).to.equal('200');
    await crowded.close();
  });

  it('hangs up on a reader of the feed that talks', async () => {
    for (const say of [(socket: WebSocket) => socket.send('x'), (socket: WebSocket) => socket.ping()]) {
      const socket = new WebSocket(`${box.gateway.url.replace('http', 'ws')}/feed`);
      socket.on('error', () => undefined);
      await once(socket, 'open');
      const closed = once(socket, 'close');
      for (let i = 0; i < 100; i++) say(socket);
      expect((await closed)[0]).to.equal(1006);
    }
  });
});

const LINE: LogLine = { timeMs: 0, functionName: 'echo', sandboxId: 'sb-1', stream: 'stdout', text: '' };

const TIMELINE: CallTimeline = {
  ...{ acceptedMs: 0, dispatchedMs: 0, firstByteMs: 0, endedMs: 0 },
  ...{ start: 'warm', firstInSandbox: false, core: 1, sandboxId: 'sb-1' },
};

/** The server hears of a client that left a moment later than this process does. */
async function untilAnswered(call: () => Promise<{ status: number }>): Promise<void> {
  const status = (): Promise<number> =>
    call().then(
      (answer) => answer.status,
      () => 0,
    );
  await until(async () => (await status()) === 200);
}
