/** Socket options that node does not offer: how much the kernel buffers, and an end that waits for nothing. */

import type { Socket } from 'node:net';
import { setsockopt } from '../linux/libc.js';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_LINGER = 13;

/**
 * Otherwise the kernel lets each grow to tens of megabytes that are charged to nobody. It doubles the value, for its own
 * accounts.
 */
export function boundBuffers(socket: Socket, bytes: number): void {
  set(socket, SO_SNDBUF, bytes);
  set(socket, SO_RCVBUF, bytes);
}

/**
 * Ends a connection as one that failed, whatever still waits in it. `resetAndDestroy` waits until all is written, and what
 * is shutting down meanwhile it never closes: the descriptor stays, and with it the thread.
 */
export function reset(socket: Socket): void {
  set(socket, SO_LINGER, 1, 0);
  socket.destroy();
}

/** No effect on one that is closed. */
function set(socket: Socket, option: number, ...values: number[]): void {
  const { fd = -1 } = (socket as unknown as { _handle: { fd?: number } | null })._handle ?? {};
  if (fd >= 0)
    setsockopt(fd, SOL_SOCKET, option, new Uint8Array(Int32Array.from(values).buffer), values.length * 4);
}
