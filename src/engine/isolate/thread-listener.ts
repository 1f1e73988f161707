/**
 * The socket on which the threads of an isolate process connect to the agent. Each says in its first frame which thread
 * it is. No more connections are open than threads are awaited, since code that took the process over may connect
 * faster than the agent has time for.
 */

import type { Server, Socket } from 'node:net';
import type { NemoError } from '../../model/errors.js';
import { listenForUser } from '../../sandbox/agent-socket.js';
import { Channel, type ChannelEvents } from '../../sandbox/channel.js';
import { ISOLATE } from '../../tunables/index.js';
import type { HostThread, HostThreads } from './host-threads.js';

export interface ThreadListenerEvents {
  /** The thread of this token says that its number inside is `inside`. False: it is not, and the connection ends. */
  onThread(thread: HostThread, inside: unknown): boolean;
  /** Too many connected whom nobody awaits; the listener is closed. */
  onFlood(): void;
  /** See `listenForUser`. `listening`: threads can still connect. */
  onError(error: NemoError, listening: boolean): void;
}

export class ThreadListener {
  private readonly server: Server;
  private readonly unclaimed = new Set<Socket>();
  private strayConnections = 0;

  /** Throws SANDBOX_START. */
  constructor(
    path: string,
    uid: number,
    private readonly threads: HostThreads,
    private readonly events: ThreadListenerEvents,
  ) {
    this.server = listenForUser(
      path,
      uid,
      (socket) => this.welcome(socket),
      (error) => events.onError(error, this.server.listening),
    );
  }

  close(): void {
    for (const socket of this.unclaimed) socket.destroy();
    this.server.close();
  }

  private welcome(socket: Socket): void {
    if (this.unclaimed.size >= this.threads.awaited) {
      this.turnAway(socket);
      return;
    }
    this.unclaimed.add(socket);
    const leave = (): boolean => this.unclaimed.delete(socket);
    const timer = setTimeout(() => leave() && socket.destroy(), ISOLATE.unclaimedMs);
    socket.once('close', leave);
    const refuse = (): void => void socket.destroy();
    const events: ChannelEvents = {
      onReady: ({ token, thread: inside }) => {
        clearTimeout(timer);
        leave();
        const thread = this.threads.claim(token);
        if (thread === undefined) return refuse();
        // A thread that ended while it connected does not count as a stray.
        this.strayConnections = 0;
        if (!this.events.onThread(thread, inside)) return refuse();
        forwardToOwner(thread, events, channel);
        thread.connected.resolve({ channel, socket, tid: thread.tid });
      },
      onLoaded: refuse,
      onLoadFailed: refuse,
      onViolation: refuse,
      onFault: refuse,
    };
    const channel = new Channel(socket, events);
  }

  private turnAway(socket: Socket): void {
    socket.destroy();
    if (++this.strayConnections !== ISOLATE.strayConnectionsMax) return;
    this.server.close();
    this.events.onFlood();
  }
}

/** What the thread sends goes to its owner from now on. */
function forwardToOwner({ owner }: HostThread, events: ChannelEvents, channel: Channel): void {
  events.onReady = () => {};
  events.onLoaded = (kind) => owner.onLoaded(kind);
  events.onLoadFailed = (error) => owner.onLoadFailed(error);
  events.onLog = (stream, text) => owner.onLog?.(stream, text, channel.valve);
  events.onMemory = (kib) => owner.onMemory?.(kib);
  events.onWanted = () => owner.onWanted?.();
  events.onViolation = (reason) => owner.onViolation(reason);
  events.onFault = (error) => owner.onFault(error);
}
