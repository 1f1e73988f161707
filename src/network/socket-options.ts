/**
 * What node does not offer of sockets: how much the kernel buffers, an end that waits for nothing, and one that leaves
 * nothing behind. What a peer has not taken the kernel keeps for minutes after a socket is closed, charged to nobody, and of
 * as many sockets as there were: it is memory that all TCP of the box shares.
 */

import type { Server, Socket } from 'node:net';
import { close, fcntl, getsockopt, ioctl, setsockopt } from '../linux/libc.js';
import { EGRESS } from '../tunables/index.js';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_LINGER = 13;
const IPPROTO_TCP = 6;
const TCP_NOTSENT_LOWAT = 25;
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
  if (isUntaken(descriptorOf(socket))) reset(socket);
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
    if (isUntaken(fd)) resetAtClose(fd);
  });
}

/** `gone` is called after the end of the socket, when its peer has taken all, or has had its time to: then it is reset. */
export function afterLastByte(socket: Socket, gone: () => void): void {
  beforeItCloses(socket, (fd) => {
    const held = isUntaken(fd) && !isReset(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (held < 0) gone();
    else closeTaken(held, performance.now() + EGRESS.untakenMs, gone);
  });
}

function closeTaken(fd: number, untilMs: number, gone: () => void): void {
  const untaken = isUntaken(fd);
  if (untaken && performance.now() < untilMs) {
    setTimeout(() => closeTaken(fd, untilMs, gone), EGRESS.untakenLookMs).unref();
    return;
  }
  if (untaken) resetAtClose(fd);
  close(fd);
  gone();
}

function beforeItCloses(socket: Socket, act: (fd: number) => void): void {
  const destroy = socket._destroy.bind(socket);
  socket._destroy = (error, done) => {
    act(descriptorOf(socket));
    destroy(error, done);
  };
}

/** The end of what was sent counts as a byte until it is taken, and takes no memory. */
function isUntaken(fd: number): boolean {
  const count = new Uint8Array(4);
  return fd >= 0 && ioctl(fd, SIOCOUTQ, count) === 0 && new Int32Array(count.buffer)[0]! > 1;
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
