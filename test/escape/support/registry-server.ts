/** A registry on this host that does what a test says, and counts who comes. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export type Answering = (request: IncomingMessage, response: ServerResponse) => void;

export class RegistryServer {
  readonly asked: Array<{ url: string; authorization: string | undefined }> = [];
  connections = 0;
  private readonly server: Server;

  constructor(
    public answer: Answering = (_request, response) => response.end('{}'),
    private readonly address = '127.0.0.1',
    /** PEM; with it, HTTPS. */
    tls?: { key: Buffer; cert: Buffer },
  ) {
    const heard: Answering = (request, response) => {
      this.asked.push({ url: request.url!, authorization: request.headers.authorization });
      this.answer(request, response);
    };
    this.server = tls === undefined ? createServer(heard) : createSecureServer(tls, heard);
    this.server.on('connection', () => this.connections++);
  }

  async listen(port = 0): Promise<this> {
    this.server.listen(port, this.address);
    await once(this.server, 'listening');
    return this;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get host(): string {
    return `${this.address}:${this.port}`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
