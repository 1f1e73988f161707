/**
 * A listening socket of a sandbox that can stop to accept for a while. What connects meanwhile waits in the kernel's
 * queue of the sandbox, or tries again later, at no cost to the relay. The descriptor is kept open throughout: nobody
 * could open it again without entering the sandbox's namespace.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { check, close, fcntl } from '../linux/libc.js';
import { EGRESS } from '../tunables/index.js';

const F_DUPFD_CLOEXEC = 1030;
const FIRST = 3;

export class RelayListener {
  private server: Server | undefined;
  private closed = false;

  /** `fd` is taken over. */
  constructor(
    private readonly fd: number,
    private readonly onConnection: (inside: Socket) => void,
  ) {}

  /** Throws SYSCALL. */
  accept(): void {
    if (this.closed || this.server !== undefined) return;
    const fd = check(fcntl(this.fd, F_DUPFD_CLOEXEC, FIRST), 'fcntl', 'a listening socket');
    const { bufferBytes: highWaterMark } = EGRESS;
    const server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark }, this.onConnection);
    server.on('error', () => {
      server.close();
      if (this.server === server) this.server = undefined;
    });
    server.listen({ fd });
    this.server = server;
  }

  hold(): void {
    this.server?.close();
    this.server = undefined;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.hold();
    close(this.fd);
  }
}
