/** The browser's WebSocket in the shape that `Connection` wants. */

import type { FeedSocket, SocketHandlers } from './connection.js';

/** The feed of the agent that served this page. */
export function openFeed({ onMessage, onEnd }: SocketHandlers): FeedSocket {
  const address = new URL('/feed', location.href);
  address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(address);
  socket.onmessage = (event) => {
    if (typeof event.data === 'string') onMessage(event.data);
  };
  // An error is always followed by a close.
  socket.onclose = onEnd;
  return { close: () => socket.close() };
}
