/**
 * The connections to the server of an image: awaited until it accepts one, then kept by a pool. The first connection,
 * which proved that it accepts, serves the first call, unless the server has closed it by then.
 */

import type { Socket } from 'node:net';
import { Pool } from 'undici';
import { leaveNothing } from '../../linux/socket-options.js';
import { type Endings, guarded } from '../../sandbox/guarded.js';
import { OCI } from '../../tunables/index.js';
import { NOT_ACCEPTED } from './repeats.js';

export interface ServerConnectionsOptions {
  /** Undefined while nobody listens. */
  connect: () => Socket | undefined;
  /** Each connection before it is used. */
  onConnection: (socket: Socket) => void;
  endings: Endings;
}

export class ServerConnections {
  private pool: Pool | undefined;
  private readonly open = new Set<Socket>();
  private ended = false;
  private sinceMs = 0;

  constructor(private readonly options: ServerConnectionsOptions) {}

  /** Calls `onReady` once the server accepts, with a pool of as many connections as `most`. Who waits has a time limit. */
  await(most: number, onReady: (pool: Pool) => void): void {
    this.sinceMs = performance.now();
    this.look(most, onReady);
  }

  close(): void {
    this.ended = true;
    void this.pool?.destroy().catch(() => {});
  }

  /** What the server has not read. */
  get waitingBytes(): number {
    let bytes = 0;
    for (const { writableLength } of this.open) bytes += writableLength;
    return bytes;
  }

  private look(most: number, onReady: (pool: Pool) => void): void {
    if (this.ended) return;
    const socket = this.tryConnect();
    if (socket === undefined) {
      // Each attempt costs this thread some 100 us. A server that is slow to listen is found out a little later.
      const waitMs = (performance.now() - this.sinceMs) * OCI.acceptPollRatio;
      setTimeout(
        guarded(this.options.endings, () => this.look(most, onReady)),
        Math.min(Math.max(waitMs, OCI.acceptPollMs), OCI.acceptPollMaxMs),
      ).unref();
      return;
    }
    this.pool = this.poolFrom(socket, most);
    onReady(this.pool);
  }

  private poolFrom(socket: Socket, connections: number): Pool {
    let first: Socket | undefined = socket;
    return new Pool('http://function.invalid', {
      connections,
      pipelining: 1,
      maxHeaderSize: OCI.headMaxBytes,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: OCI.keepAliveMs,
      keepAliveMaxTimeout: OCI.keepAliveMs,
      connect: (_options, done) => {
        const connection = first !== undefined && isFresh(first) ? first : this.tryConnect();
        if (connection !== first) first?.destroy();
        first = undefined;
        // Not at once: the client is not ready for an answer before it has asked.
        if (connection !== undefined) {
          this.open.add(connection.once('close', () => this.open.delete(connection)));
          this.options.onConnection(connection);
          process.nextTick(done, null, connection);
        } else process.nextTick(done, notAccepted(), null);
      },
    });
  }

  private tryConnect(): Socket | undefined {
    // One that breaks before a call uses it is nobody's error.
    const socket = this.options
      .connect()
      ?.setNoDelay(true)
      .on('error', () => {});
    if (socket !== undefined) leaveNothing(socket);
    return socket;
  }
}

/** Nothing came on it, and it is not closed. */
function isFresh(socket: Socket): boolean {
  return !socket.destroyed && !socket.readableEnded && socket.readableLength === 0;
}

function notAccepted(): Error {
  return Object.assign(new Error('its server does not accept connections'), { code: NOT_ACCEPTED });
}
