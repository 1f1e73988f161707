/**
 * The feed: the newest frame to every reader, ten times a second, turned into bytes once for all of them. A
 * reader that does not keep up loses whole frames and sees it by the gap in `seq`; nobody waits for it.
 *
 * Events are taken from the event log by number and not from the frame, so that none is lost or doubled when
 * frames are made at another pace than they are sent.
 */

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { FeedFrame } from '../model/feed.js';
import type { EventLog } from '../model/platform.js';
import { FEED, FEED_SERVER } from '../tunables/index.js';

export interface FeedServerOptions {
  frame: () => FeedFrame;
  events: EventLog;
  periodMs?: number;
  pingPeriodMs?: number;
  backlogMaxBytes?: number;
  backlogsMaxBytes?: number;
}

export interface FeedCounts {
  readers: number;
  /** Readers that lost frames, ever. */
  slowReaders: number;
  framesLost: number;
  /** Readers that were cut off because they did not answer pings. */
  deadReaders: number;
}

interface Reader {
  socket: WebSocket;
  alive: boolean;
  slow: boolean;
  /** Frames that came from it since the last ping. */
  heard: number;
}

export class FeedServer {
  readonly counts: FeedCounts = { readers: 0, slowReaders: 0, framesLost: 0, deadReaders: 0 };
  private readonly readers = new Set<Reader>();
  // A reader has nothing to say: a small payload limit keeps it from filling memory.
  private readonly server = new WebSocketServer({
    noServer: true,
    maxPayload: 1024,
    maxFragments: FEED_SERVER.heardMax,
    perMessageDeflate: false,
  });
  private sendTimer: NodeJS.Timeout | undefined;
  private readonly pingTimer: NodeJS.Timeout;
  private lastFrame: FeedFrame | undefined;
  private lastEventSeq = 0;
  /** What a reader that comes now gets first; many may come between two frames. */
  private first: { frame: FeedFrame; eventSeq: number; bytes: Buffer } | undefined;

  constructor(private readonly options: FeedServerOptions) {
    this.pingTimer = setInterval(() => this.ping(), options.pingPeriodMs ?? FEED_SERVER.pingPeriodMs).unref();
  }

  /** Takes over an upgrade request whose path, Host and Origin are right. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.server.handleUpgrade(request, socket, head, (webSocket) => this.add(webSocket));
  }

  close(): void {
    clearInterval(this.sendTimer);
    clearInterval(this.pingTimer);
    for (const { socket } of this.readers) {
      socket.close(1001, 'the agent is stopping');
      // A reader that does not answer the close must not hold the port.
      setTimeout(() => socket.terminate(), 500).unref();
    }
    this.server.close();
  }

  private add(socket: WebSocket): void {
    const reader: Reader = { socket, alive: true, slow: false, heard: 0 };
    // Each message costs this thread time: a reader has nothing to say but that it is there.
    const hear = (): void => {
      if (++reader.heard > FEED_SERVER.heardMax) socket.terminate();
    };
    socket.on('message', hear).on('ping', hear);
    socket.on('pong', () => {
      reader.alive = true;
      hear();
    });
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      this.readers.delete(reader);
      this.counts.readers = this.readers.size;
      if (this.readers.size === 0) this.stopSending();
    });
    // With others there, the new reader starts from what they have seen last: the next frame is next for all.
    if (this.readers.size === 0 || this.lastFrame === undefined) {
      this.lastFrame = this.options.frame();
      this.lastEventSeq = this.options.events.since(0, 1)[0]?.seq ?? 0;
    }
    this.readers.add(reader);
    this.counts.readers = this.readers.size;
    this.cutSlowest();
    socket.send(this.firstBytes(this.lastFrame), { binary: false });
    this.sendTimer ??= setInterval(() => this.sendNewest(), this.options.periodMs ?? 1000 / FEED.hz);
  }

  private firstBytes(frame: FeedFrame): Buffer {
    const eventSeq = this.lastEventSeq;
    if (this.first?.frame !== frame || this.first.eventSeq !== eventSeq) {
      const seen = this.options.events.since(0, FEED.eventsKept).filter(({ seq }) => seq <= eventSeq);
      const text = JSON.stringify({ ...frame, events: seen.slice(-FEED_SERVER.firstEvents) });
      this.first = { frame, eventSeq, bytes: Buffer.from(text) };
    }
    return this.first.bytes;
  }

  /** A frame of thousands of functions has megabytes: what waits for all readers together is bounded. */
  private cutSlowest(): void {
    const backlogs = [...this.readers].map((reader) => ({ reader, bytes: reader.socket.bufferedAmount }));
    let unsent = backlogs.reduce((sum, { bytes }) => sum + bytes, 0);
    const max = this.options.backlogsMaxBytes ?? FEED_SERVER.backlogsMaxBytes;
    if (unsent <= max) return;
    for (const { reader, bytes } of backlogs.sort((a, b) => b.bytes - a.bytes)) {
      if (unsent <= max) return;
      reader.socket.terminate();
      this.readers.delete(reader);
      unsent -= bytes;
    }
  }

  private stopSending(): void {
    clearInterval(this.sendTimer);
    this.sendTimer = undefined;
  }

  private sendNewest(): void {
    const frame = this.options.frame();
    if (frame.seq === this.lastFrame?.seq) return;
    this.lastFrame = frame;
    const events = this.options.events.since(this.lastEventSeq, FEED.eventsKept);
    this.lastEventSeq = events.at(-1)?.seq ?? this.lastEventSeq;
    const bytes = Buffer.from(JSON.stringify({ ...frame, events }));
    const backlogMaxBytes = this.options.backlogMaxBytes ?? FEED.backlogMaxBytes;
    // Before it is sent: who keeps up has taken the one before.
    this.cutSlowest();
    for (const reader of this.readers) {
      if (reader.socket.bufferedAmount > backlogMaxBytes) {
        this.counts.framesLost++;
        if (!reader.slow) this.counts.slowReaders++;
        reader.slow = true;
      } else {
        reader.socket.send(bytes, { binary: false });
      }
    }
  }

  private ping(): void {
    for (const reader of this.readers) {
      reader.heard = 0;
      if (reader.alive) {
        reader.alive = false;
        reader.socket.ping();
      } else {
        this.counts.deadReaders++;
        reader.socket.terminate();
      }
    }
  }
}
