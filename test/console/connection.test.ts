import { expect } from 'chai';
import {
  BACKOFF_MAX_MS,
  backoffMs,
  CONNECT_TIMEOUT_MS,
  Connection,
  type LinkStatus,
  SILENCE_MS,
  type SocketHandlers,
} from '../../src/console/web/connection.js';
import { FeedSource } from './support/feed-source.js';

/** A world with a clock of its own, in which sockets are opened and closed by hand. */
class World {
  nowMs = 0;
  sockets: Array<SocketHandlers & { closed: boolean }> = [];
  statuses: LinkStatus[] = [];
  frames: Array<{ seq: number; first: boolean }> = [];
  private timers = new Set<{ atMs: number; callback: () => void }>();
  readonly source = new FeedSource(0);

  readonly connection = new Connection(
    {
      nowMs: () => this.nowMs,
      random: () => 0.5,
      after: (delayMs, callback) => {
        const timer = { atMs: this.nowMs + delayMs, callback };
        this.timers.add(timer);
        return () => this.timers.delete(timer);
      },
      open: (handlers) => {
        const socket = { ...handlers, closed: false };
        this.sockets.push(socket);
        return {
          close: () => {
            socket.closed = true;
          },
        };
      },
    },
    {
      onFrame: (frame, first) => this.frames.push({ seq: frame.seq, first }),
      onStatus: (status) => this.statuses.push(status),
    },
  );

  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const due = [...this.timers]
        .filter((timer) => timer.atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (!due) break;
      this.timers.delete(due);
      this.nowMs = due.atMs;
      due.callback();
    }
    this.nowMs = untilMs;
  }

  get socket() {
    return this.sockets.at(-1)!;
  }

  get status(): LinkStatus {
    return this.statuses.at(-1)!;
  }

  frame(): void {
    this.socket.onMessage(JSON.stringify(this.source.next()));
  }
}

describe('console connection', () => {
  let world: World;

  beforeEach(() => {
    world = new World();
    world.connection.start();
  });

  it('is live with the first frame, not before', () => {
    expect(world.status.state).to.equal('connecting');
    world.frame();
    world.frame();
    expect(world.status.state).to.equal('live');
    expect(world.frames).to.deep.equal([
      { seq: 1, first: true },
      { seq: 2, first: false },
    ]);
  });

  it('calls a silent socket lost within 2 s and opens another', () => {
    for (let i = 0; i < 50; i++) {
      world.frame();
      world.advance(100);
    }
    expect(world.status.state).to.equal('live');
    world.advance(SILENCE_MS - 101);
    expect(world.status.state).to.equal('live');
    world.advance(1);
    expect(world.status.state).to.equal('lost');
    expect(world.status.reason).to.equal('It went silent');
    expect(SILENCE_MS).to.be.below(2_000);
    expect(world.sockets[0]!.closed).to.equal(true);
    world.advance(250);
    expect(world.sockets.length).to.equal(2);
    world.frame();
    expect(world.status).to.include({ state: 'live', reason: '', retryAtMs: null });
    expect(world.frames.at(-1)!.first).to.equal(true);
  });

  it('waits longer from try to try, up to a cap, and starts over after a frame', () => {
    const pauses: number[] = [];
    for (let i = 0; i < 7; i++) {
      world.socket.onEnd();
      const pauseMs = world.status.retryAtMs! - world.nowMs;
      pauses.push(pauseMs);
      world.advance(pauseMs);
    }
    expect(pauses).to.deep.equal([250, 500, 1_000, 2_000, 4_000, BACKOFF_MAX_MS, BACKOFF_MAX_MS]);
    world.frame();
    world.socket.onEnd();
    expect(world.status.retryAtMs! - world.nowMs).to.equal(250);
    expect(backoffMs(0, 0)).to.equal(200);
    expect(backoffMs(0, 1)).to.equal(300);
  });

  it('does not believe a frame that it has seen before', () => {
    const text = JSON.stringify(world.source.next());
    world.socket.onMessage(text);
    world.advance(SILENCE_MS + 250);
    world.socket.onMessage(text);
    expect(world.sockets.length).to.equal(2);
    expect(world.status.state).to.equal('lost');
    world.frame();
    expect(world.status.state).to.equal('live');
    expect(world.frames.map(({ first }) => first)).to.deep.equal([true, true]);
  });

  it('gives up a connect that never ends, and does not wait when told so', () => {
    world.advance(CONNECT_TIMEOUT_MS);
    expect(world.status).to.include({ state: 'lost', reason: 'It does not answer' });
    world.connection.retryNow();
    expect(world.sockets.length).to.equal(2);
    expect(world.status.retryAtMs).to.equal(null);
    world.connection.retryNow();
    expect(world.sockets.length).to.equal(2);
  });

  it('ignores what an abandoned socket still says', () => {
    world.frame();
    const old = world.socket;
    world.advance(SILENCE_MS + 250);
    old.onMessage(JSON.stringify(world.source.next()));
    old.onEnd();
    expect(world.frames.length).to.equal(1);
    expect(world.sockets.length).to.equal(2);
  });

  it('counts what is no frame and lives on; says so when the agent speaks another schema', () => {
    world.frame();
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '{"schema":"nemo.feed/1"}',
      '{"schema":"nemo.feed/1","seq":1}',
    ]) {
      world.socket.onMessage(text);
    }
    expect(world.status).to.include({ state: 'live', malformed: 6 });
    world.socket.onMessage('{"schema":"nemo.feed/2"}');
    expect(world.status.state).to.equal('foreign');
    expect(world.status.reason).to.contain('nemo.feed/2');
  });

  it('stops for good', () => {
    world.connection.stop();
    world.advance(60_000);
    expect(world.sockets.length).to.equal(1);
    expect(world.socket.closed).to.equal(true);
  });
});
