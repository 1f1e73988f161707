/** Who a thread of an isolate's process belongs to, and the way to it. */

import type { Socket } from 'node:net';
import type { Channel, ChannelEvents } from '../../sandbox/channel.js';
import type { Valve } from '../../streams/valve.js';
import type { ThreadEnd } from './thread-end.js';

/** One thread that is there: the way to it, and its number on the host. */
export interface Connected {
  channel: Channel;
  socket: Socket;
  tid: number;
}

/** What a host tells the owner of a thread. */
export interface ThreadOwner extends Omit<ChannelEvents, 'onReady' | 'onLog'> {
  readonly memoryBytes: number;
  /** Resolves when nothing of the sandbox is left. */
  readonly exited: Promise<unknown>;
  /** `valve`: of what the thread says. */
  onLog?(stream: number, text: Buffer, valve: Valve): void;
  /** Lets the thread run wherever and as fast as it can, so that it can end. */
  release(): void;
  /** The thread is gone; `host`: because its process is. */
  onThreadEnded(end: ThreadEnd): void;
}

/** Of a thread that nobody wants to hear of any more. */
export const NOBODY: ThreadOwner = {
  memoryBytes: 0,
  exited: Promise.resolve(),
  release: () => {},
  onThreadEnded: () => {},
  onLoaded: () => {},
  onLoadFailed: () => {},
  onViolation: () => {},
  onFault: () => {},
};
