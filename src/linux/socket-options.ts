/**
 * What node does not offer of sockets: how much the kernel buffers, an end that waits for nothing, and one that leaves
 * nothing behind. What a peer has not taken the kernel keeps for minutes after a socket is closed, charged to nobody, and of
 * as many sockets as there were: it is memory that all TCP of the box shares.
 */

import type { Server, Socket } from 'node:net';
import { SOCKETS } from '../tunables/index.js';
import { close, fcntl, getsockopt, ioctl, setsockopt } from './libc.js';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_LINGER = 13;
const IPPROTO_TCP = 6;
const TCP_NOTSENT_LOWAT = 25;
const TCP_INFO = 11;
const TCP_CLOSE = 7;
const SIOCOUTQ = 0x5411;
const F_DUPFD_CLOEXEC = 1030;

/**
 * Otherwise the kernel lets each grow to tens of megabytes that are charged to nobody. It doubles the value, for its own
 * accounts.
 */
export function boundBuffers(socket: Socket, bytes: number): void {
  const fd = descriptorOf(socket);
  set(fd, SO_SNDBUF, bytes);
  set(fd, SO_RCVBUF, bytes);
}

/**
 * Ends a connection as one that failed, whatever still waits in it. `resetAndDestroy` waits until all is written, and what
 * is shutting down meanwhile it never closes: the descriptor stays, and with it the thread.
 */
export function reset(socket: Socket): void {
  resetAtClose(descriptorOf(socket));
  socket.destroy();
}

/** Ends a connection: as one that failed if its peer has not taken all. */
export function end(socket: Socket): void {
  if (untakenBytes(descriptorOf(socket)) > 0) reset(socket);
  else socket.destroy();
}

/**
 * What clients of a server do not take waits in this process, where it is counted, beyond so much: of each the kernel would
 * take megabytes at once, charged to nobody. A client that reads is sent no less at a time. Once the server listens.
 */
export function boundUnsent(server: Server, bytes: number): void {
  server.on('listening', () => {
    // Each connection has what its listening socket has.
    setOption(descriptorOf(server), IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes);
  });
}

/** From now on the socket ends so, whoever ends it. */
export function leaveNothing(socket: Socket): void {
  beforeItCloses(socket, (fd) => {
    if (untakenBytes(fd) > 0) resetAtClose(fd);
  });
}

/** Connections that are over and not taken, the longest first, each as what ends it. */
export type Untaken = Set<() => void>;

/**
 * `gone` is called after the end of the socket, when its peer has taken all, or has taken nothing for a while: then it is
 * reset. So is the first of `others` where there would be more than `most`.
 */
export function afterLastByte(
  socket: Socket,
  gone: () => void,
  others: Untaken = new Set(),
  most = Number.POSITIVE_INFINITY,
): void {
  beforeItCloses(socket, (fd) => {
    const held = untakenBytes(fd) > 0 && !isReset(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (held < 0) return gone();
    closeTaken(held, others, gone);
    if (others.size > most) for (const end of others) return end();
  });
}

function closeTaken(fd: number, others: Untaken, gone: () => void): void {
  let leftBytes = Number.POSITIVE_INFINITY;
  let untilMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const end = (): void => {
    clearTimeout(timer);
    others.delete(end);
    if (untakenBytes(fd) > 0) resetAtClose(fd);
    close(fd);
    gone();
  };
  const look = (): void => {
    const bytes = untakenBytes(fd);
    const nowMs = performance.now();
    if (bytes < leftBytes) {
      leftBytes = bytes;
      untilMs = nowMs + SOCKETS.untakenMs;
    }
    if (bytes === 0 || nowMs > untilMs) end();
    else timer = setTimeout(look, SOCKETS.untakenLookMs).unref();
  };
  others.add(end);
  look();
}

function beforeItCloses(socket: Socket, act: (fd: number) => void): void {
  const destroy = socket._destroy.bind(socket);
  socket._destroy = (error, done) => {
    act(descriptorOf(socket));
    destroy(error, done);
  };
}

/** What its peer has not taken of what was sent. The end of that counts as a byte until it is taken, and takes no memory. */
function untakenBytes(fd: number): number {
  const count = new Uint8Array(4);
  if (fd < 0 || ioctl(fd, SIOCOUTQ, count) < 0) return 0;
  const bytes = new Int32Array(count.buffer)[0]!;
  return bytes > 1 && !isClosed(fd) ? bytes : 0;
}

/** Its peer has reset it: nothing of it is left but the number of bytes. */
function isClosed(fd: number): boolean {
  const state = new Uint8Array(1);
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, state, [1]) === 0 && state[0] === TCP_CLOSE;
}

function isReset(fd: number): boolean {
  const linger = new Uint8Array(8);
  return getsockopt(fd, SOL_SOCKET, SO_LINGER, linger, [8]) === 0 && linger[0] === 1;
}

function resetAtClose(fd: number): void {
  set(fd, SO_LINGER, 1, 0);
}

/** -1: it is closed. */
function descriptorOf(socket: Socket | Server): number {
  return (socket as unknown as { _handle: { fd?: number } | null })._handle?.fd ?? -1;
}

function set(fd: number, option: number, ...values: number[]): void {
  setOption(fd, SOL_SOCKET, option, ...values);
}

/** No effect on one that is closed. */
function setOption(fd: number, level: number, option: number, ...values: number[]): void {
  if (fd < 0) return;
  setsockopt(fd, level, option, new Uint8Array(Int32Array.from(values).buffer), values.length * 4);
}
