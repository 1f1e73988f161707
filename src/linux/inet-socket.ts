/**
 * IPv4 sockets that block their thread, for measuring: no event loop stands between the kernel and the clock. They open
 * in the network namespace of the calling *thread*. Every call ends within `timeoutMs`.
 */

import { constants } from 'node:os';
import { NemoError } from '../errors.js';
import {
  bind,
  check,
  close,
  connect,
  errno,
  errnoName,
  listen,
  recv,
  send,
  setsockopt,
  socket,
} from './libc.js';

const AF_INET = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const LISTEN_BACKLOG = 128;

/** [type, protocol] of socket(2). */
const KINDS = { tcp: [1, 0], udp: [2, 0], icmp: [3, 1] } as const;

/** `recv` answers this when nothing came in time. */
export const NOTHING = -1;

export class InetSocket {
  private constructor(
    private readonly fd: number,
    private readonly name: string,
  ) {}

  /** Connects; throws SYSCALL with the errno in its details. */
  static open(kind: keyof typeof KINDS, host: string, port: number, timeoutMs: number): InetSocket {
    const name = kind === 'icmp' ? host : `${host}:${port}`;
    const [type, protocol] = KINDS[kind];
    const fd = check(socket(AF_INET, type | SOCK_CLOEXEC, protocol), 'socket', name);
    try {
      const limit = new BigInt64Array([
        BigInt(Math.floor(timeoutMs / 1e3)),
        BigInt(Math.round((timeoutMs % 1e3) * 1e3)),
      ]);
      for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) {
        check(setsockopt(fd, SOL_SOCKET, option, new Uint8Array(limit.buffer), 16), 'setsockopt', name);
      }
      const address = socketAddress(host, port);
      check(connect(fd, address, address.length), 'connect', name);
      if (kind === 'tcp') setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, new Uint8Array([1, 0, 0, 0]), 4);
      return new InetSocket(fd, name);
    } catch (thrown) {
      close(fd);
      throw thrown;
    }
  }

  /** Throws SYSCALL. */
  send(bytes: Uint8Array): void {
    check(send(this.fd, bytes, bytes.length, MSG_NOSIGNAL), 'send', this.name);
  }

  /** Bytes received into `bytes` (0: the other side has closed), or NOTHING. Throws SYSCALL. */
  recv(bytes: Uint8Array, wait = true): number {
    const count = recv(this.fd, bytes, bytes.length, wait ? 0 : MSG_DONTWAIT);
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
  const fd = check(socket(AF_INET, KINDS.tcp[0] | SOCK_CLOEXEC, 0), 'socket', name);
  try {
    const address = socketAddress(host, port);
    check(bind(fd, address, address.length), 'bind', name);
    check(listen(fd, LISTEN_BACKLOG), 'listen', name);
    return fd;
  } catch (thrown) {
    close(fd);
    throw thrown;
  }
}

function socketAddress(host: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new Uint16Array(bytes.buffer)[0] = AF_INET;
  new DataView(bytes.buffer).setUint16(2, port);
  bytes.set(host.split('.').map(Number), 4);
  return bytes;
}
