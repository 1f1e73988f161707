import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import type { FeedFrame } from '../../src/model/feed.js';
import { createEventLog } from '../../src/telemetry/event-log.js';
import { FeedServer, type FeedServerOptions } from '../../src/telemetry/feed-server.js';
import { later, letTimePass, until } from '../support/waiting.js';
import { sampleFrame } from './sample-frame.js';

describe('feed', function () {
  this.timeout(15_000);
  let http: Server;
  let feed: FeedServer;
  let events: ReturnType<typeof createEventLog>;
  let seq: number;
  /** Makes frames large, to fill sockets. */
  let padding: string;
  const sockets: WebSocket[] = [];

  const start = async (options: Partial<FeedServerOptions> = {}): Promise<void> => {
    events = createEventLog();
    seq = 1;
    padding = '';
    feed = new FeedServer({
      frame: () => {
        const frame = sampleFrame(seq++);
        frame.agent.policy += padding;
        return frame;
      },
      events,
      periodMs: 5,
      ...options,
    });
    http = createServer();
    http.on('upgrade', (request, socket, head) => feed.accept(request, socket, head));
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
  };
  const reader = (options = {}): WebSocket => {
    const socket = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}/feed`, options);
    sockets.push(socket);
    return socket;
  };
  /** Frames as they come. */
  async function* framesOf(socket: WebSocket): AsyncGenerator<FeedFrame> {
    const queue: FeedFrame[] = [];
    let wake: (() => void) | undefined;
    socket.on('message', (data) => {
      queue.push(JSON.parse(data.toString()));
      wake?.();
    });
    while (true) {
      while (queue.length > 0) yield queue.shift()!;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  const emit = (message: string) => events.emit({ kind: 'warning', severity: 'info', message });

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.terminate();
    feed.close();
    http.closeAllConnections();
    http.close();
    await once(http, 'close');
  });

  it('begins with the last 100 events and then sends each event once, in frames without a gap', async () => {
    await start();
    for (let i = 1; i <= 150; i++) emit(`early ${i}`);
    const seen: number[] = [];
    let lastSeq = 0;
    let frames = 0;
    for await (const frame of framesOf(reader())) {
      expect(frame.schema).to.equal('nemo.feed/1');
      if (frames++ === 0) expect(frame.events).to.have.length(100);
      else expect(frame.seq).to.equal(lastSeq + 1);
      lastSeq = frame.seq;
      seen.push(...frame.events.map((event) => event.seq));
      if (frames < 10) emit(`late ${frames}`);
      if (frames === 15) break;
    }
    expect(seen).to.deep.equal(Array.from({ length: 109 }, (_, i) => 51 + i));
  });

  it('gives a reader that joins later every event once, too', async () => {
    await start();
    emit('one');
    const first = framesOf(reader());
    await first.next();
    emit('two');
    const joined: string[] = [];
    for await (const frame of framesOf(reader())) {
      joined.push(...frame.events.map(({ message }) => message));
      if (joined.includes('three')) break;
      if (joined.includes('two')) emit('three');
    }
    expect(joined.slice(0, 2)).to.deep.equal(['one', 'two']);
    expect(new Set(joined).size).to.equal(joined.filter((message) => message !== 'three').length + 1);
  });

  it('does not send a frame twice when none is newer', async () => {
    await start();
    const frozen = sampleFrame(7);
    let current = frozen;
    feed.close();
    feed = new FeedServer({ frame: () => current, events, periodMs: 2 });
    const seqs: number[] = [];
    for await (const frame of framesOf(reader())) {
      seqs.push(frame.seq);
      if (seqs.length === 3) break;
      // Several periods pass before there is a newer frame.
      later(20, () => {
        current = { ...frozen, seq: current.seq + 1 };
      });
    }
    expect(seqs).to.deep.equal([7, 8, 9]);
  });

  it('works only while somebody reads', async () => {
    let made = 0;
    await start({
      frame: () => {
        made++;
        return sampleFrame(made);
      },
    });
    const socket = reader();
    for await (const frame of framesOf(socket)) if (frame.seq >= 3) break;
    expect(feed.counts.readers).to.equal(1);
    socket.close();
    await once(socket, 'close');
    await until(() => feed.counts.readers === 0);
    const before = made;
    // Several periods, in which none is made.
    await letTimePass(30);
    expect(made).to.equal(before);
  });

  it('lets a reader that stops reading lose frames, and slows nobody else', async () => {
    await start({ backlogMaxBytes: 256 * 1024 });
    padding = 'x'.repeat(200_000);
    const stuck = reader();
    await once(stuck, 'message');
    stuck.pause();
    let lastSeq = 0;
    let frames = 0;
    for await (const frame of framesOf(reader())) {
      if (lastSeq > 0) expect(frame.seq).to.equal(lastSeq + 1);
      lastSeq = frame.seq;
      frames++;
      if (feed.counts.framesLost >= 5 && frames >= 20) break;
    }
    expect(feed.counts.slowReaders).to.equal(1);
    expect(feed.counts.readers).to.equal(2);
    padding = '';
    // Once it reads again it sees the gap, and then every frame.
    const gaps: number[] = [];
    let previous = 0;
    stuck.resume();
    for await (const frame of framesOf(stuck)) {
      if (previous > 0 && frame.seq !== previous + 1) gaps.push(frame.seq - previous - 1);
      if (gaps.length > 0 && frame.seq === previous + 1) break;
      previous = frame.seq;
    }
    expect(gaps[0]).to.be.greaterThan(0);
  });

  it('cuts off a reader that answers no ping, and keeps one that does', async () => {
    await start({ pingPeriodMs: 50 });
    const dead = reader({ autoPong: false });
    const alive = reader();
    await Promise.all([once(dead, 'open'), once(alive, 'open')]);
    const [code] = await once(dead, 'close');
    expect(code).to.equal(1006);
    await once(alive, 'ping');
    await once(alive, 'ping');
    expect(alive.readyState).to.equal(WebSocket.OPEN);
    expect(feed.counts).to.include({ readers: 1, deadReaders: 1 });
  });

  it('cuts off who has most unsent when that is too much for all of them together', async () => {
    await start({ pingPeriodMs: 60_000, backlogMaxBytes: 64 * 2 ** 20, backlogsMaxBytes: 8 * 2 ** 20 });
    padding = 'x'.repeat(2_000_000);
    const stuck = [reader(), reader()];
    for (const socket of stuck) {
      await once(socket, 'message');
      socket.pause();
    }
    const alive = reader();
    alive.on('message', () => undefined);
    await once(alive, 'open');
    await until(() => feed.counts.readers === 1);
    expect(alive.readyState).to.equal(WebSocket.OPEN);
  });

  it('writes down the first frame once for all who come before the next', async () => {
    await start({ periodMs: 60_000 });
    let written = 0;
    const frame = Object.assign(sampleFrame(1), { toJSON: () => ({ seq: ++written }) });
    feed.close();
    feed = new FeedServer({ frame: () => frame, events, periodMs: 60_000 });
    const messages = Array.from({ length: 10 }, () => once(reader(), 'message'));
    await Promise.all(messages);
    expect(written).to.equal(1);
  });

  it('says goodbye when it closes', async () => {
    await start();
    const socket = reader();
    await once(socket, 'message');
    feed.close();
    const [code, reason] = await once(socket, 'close');
    expect(code).to.equal(1001);
    expect(String(reason)).to.contain('stopping');
  });
});
