/**
 * Client sockets that block their thread: for measuring, where no event loop may stand between the kernel and the clock,
 * and for peers that Node cannot speak to (SOCK_SEQPACKET). IPv4 ones open in the network namespace of the calling
 * *thread*. Every call ends within `timeoutMs`.
 */

import { constants } from 'node:os';
import { NemoError } from '../model/errors.js';
import {
  bind,
  check,
  close,
  connect,
  errno,
  errnoName,
  getsockopt,
  listen,
  recv,
  send,
  setsockopt,
  socket,
} from './libc.js';

const AF_UNIX = 1;
const AF_INET = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SO_PEERCRED = 17;
/** struct ucred: pid, user, group. */
const CREDENTIALS_BYTES = 12;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const LISTEN_BACKLOG = 128;
/** sun_path of struct sockaddr_un. */
const PATH_MAX_BYTES = 108;

/** [type, protocol] of socket(2). */
const INET = { tcp: [1, 0], udp: [2, 0], icmp: [3, 1] } as const;
const UNIX = { stream: [1, 0], seqpacket: [5, 0] } as const;

/** `recv` answers this when nothing came in time. */
export const NOTHING = -1;

export class BlockingSocket {
  private constructor(
    private readonly fd: number,
    private readonly name: string,
    /** Bytes beyond the buffer are lost, and `recv` tells how many there were. */
    private readonly recvFlags: number,
  ) {}

  /** Connects; throws SYSCALL with the errno in its details. */
  static inet(kind: keyof typeof INET, host: string, port: number, timeoutMs: number): BlockingSocket {
    const name = kind === 'icmp' ? host : `${host}:${port}`;
    const socket = BlockingSocket.open(AF_INET, INET[kind], inetAddress(host, port), name, timeoutMs, 0);
    if (kind === 'tcp') setsockopt(socket.fd, IPPROTO_TCP, TCP_NODELAY, new Uint8Array([1, 0, 0, 0]), 4);
    return socket;
  }

  /**
   * Connects to a path; throws SYSCALL. Of a `seqpacket` message that is longer than the buffer, `recv` gives the true
   * length, which is then more than the buffer holds.
   */
  static unix(kind: keyof typeof UNIX, path: string, timeoutMs: number): BlockingSocket {
    const flags = kind === 'seqpacket' ? MSG_TRUNC : 0;
    return BlockingSocket.open(AF_UNIX, UNIX[kind], unixAddress(path), path, timeoutMs, flags);
  }

  private static open(
    family: number,
    [type, protocol]: readonly [number, number],
    address: Uint8Array,
    name: string,
    timeoutMs: number,
    recvFlags: number,
  ): BlockingSocket {
    const fd = check(socket(family, type | SOCK_CLOEXEC, protocol), 'socket', name);
    try {
      const limit = new BigInt64Array([
        BigInt(Math.floor(timeoutMs / 1e3)),
        BigInt(Math.round((timeoutMs % 1e3) * 1e3)),
      ]);
      for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) {
        check(setsockopt(fd, SOL_SOCKET, option, new Uint8Array(limit.buffer), 16), 'setsockopt', name);
      }
      check(connect(fd, address, address.length), 'connect', name);
      return new BlockingSocket(fd, name, recvFlags);
    } catch (thrown) {
      close(fd);
      throw thrown;
    }
  }

  /** Of a UNIX socket: the user who listened there. Throws SYSCALL. */
  peerUser(): number {
    const credentials = new Uint32Array(CREDENTIALS_BYTES / 4);
    const bytes = new Uint8Array(credentials.buffer);
    check(getsockopt(this.fd, SOL_SOCKET, SO_PEERCRED, bytes, [bytes.length]), 'getsockopt', this.name);
    return credentials[1]!;
  }

  /** Throws SYSCALL. */
  send(bytes: Uint8Array): void {
    check(send(this.fd, bytes, bytes.length, MSG_NOSIGNAL), 'send', this.name);
  }

  /** Bytes received into `bytes` (0: the other side has closed), or NOTHING. Throws SYSCALL. */
  recv(bytes: Uint8Array, wait = true): number {
    const count = recv(this.fd, bytes, bytes.length, this.recvFlags | (wait ? 0 : MSG_DONTWAIT));
    if (count >= 0) return count;
    const value = errno();
    if (value === constants.errno.EAGAIN || value === constants.errno.EINTR) return NOTHING;
    const name = errnoName(value);
    throw new NemoError('SYSCALL', `recv failed on ${this.name}: ${name}`, {
      details: { syscall: 'recv', errno: name, object: this.name },
    });
  }

  close(): void {
    close(this.fd);
  }
}

/**
 * A listening TCP socket in the network namespace of the calling thread; whoever takes the descriptor closes it.
 * Throws SYSCALL.
 */
export function listenTcp(host: string, port: number): number {
  const name = `${host}:${port}`;
  const fd = check(socket(AF_INET, INET.tcp[0] | SOCK_CLOEXEC, 0), 'socket', name);
  try {
    const address = inetAddress(host, port);
    check(bind(fd, address, address.length), 'bind', name);
    check(listen(fd, LISTEN_BACKLOG), 'listen', name);
    return fd;
  } catch (thrown) {
    close(fd);
    throw thrown;
  }
}

function inetAddress(host: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new Uint16Array(bytes.buffer)[0] = AF_INET;
  new DataView(bytes.buffer).setUint16(2, port);
  bytes.set(host.split('.').map(Number), 4);
  return bytes;
}

function unixAddress(path: string): Uint8Array {
  const name = Buffer.from(path);
  if (name.length >= PATH_MAX_BYTES) {
    throw new NemoError('UNSUPPORTED', `${path} is too long for the path of a socket`);
  }
  const bytes = new Uint8Array(2 + name.length + 1);
  new Uint16Array(bytes.buffer, 0, 1)[0] = AF_UNIX;
  bytes.set(name, 2);
  return bytes;
}
