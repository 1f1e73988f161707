/** A TCP relay in front of a server, which can lose connections as a network does: without a word to either side. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class TcpRelay {
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    /** New connections go there. */
    public targetPort: number,
  ) {}

  static async start(targetPort: number): Promise<TcpRelay> {
    const server = createServer();
    const relay = new TcpRelay(server, targetPort);
    server.on('connection', (near) => {
      const far = connect(relay.targetPort, '127.0.0.1');
      for (const socket of [near, far]) {
        relay.sockets.add(socket);
        socket.on('error', () => undefined).on('close', () => relay.sockets.delete(socket));
      }
      near.pipe(far).pipe(near);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** What is connected now stays so, and nothing that is sent arrives any more. */
  lose(): void {
    for (const socket of this.sockets) socket.unpipe().on('data', () => undefined);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}
