/** Real connections on loopback; what a pace takes can only be longer on a busy machine. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import { RelayFlow } from '../../src/network/relay-flow.js';

const PER_S = 1_000_000;
const EACH = 1.5 * PER_S;

describe('the flow of a relay', () => {
  const servers: Server[] = [];
  const sockets: Socket[] = [];
  const flow = new RelayFlow(PER_S);
  after(() => {
    flow.stop();
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
  });

  /** Both ends of a new connection. */
  async function pair(): Promise<[Socket, Socket]> {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    const near = connect({
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      allowHalfOpen: true,
    });
    const [far] = (await once(server, 'connection')) as [Socket];
    sockets.push(near, far);
    return [near, far];
  }

  /** A client, and the server that it reaches through the flow. */
  async function joined(): Promise<[Socket, Socket]> {
    const [client, inside] = await pair();
    const [outside, server] = await pair();
    flow.join(inside, outside);
    return [client, server];
  }

  async function heardBy(socket: Socket): Promise<Buffer> {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    await once(socket, 'end');
    return Buffer.concat(chunks);
  }

  it('brings everything both ways, each end at its time', async () => {
    const [client, server] = await joined();
    client.end('hello');
    expect(String(await heardBy(server))).to.equal('hello');
    server.end('you said hello');
    expect(String(await heardBy(client))).to.equal('you said hello');
  });

  it('is no faster than its pace for all connections together', async () => {
    const from = performance.now();
    const ends = await Promise.all([joined(), joined()]);
    const heard = await Promise.all(
      ends.map(async ([client, server]) => {
        client.end(Buffer.alloc(EACH));
        return (await heardBy(server)).length;
      }),
    );
    expect(heard).to.deep.equal([EACH, EACH]);
    // What was saved up and a second's worth go at once, and a read beyond it.
    expect(performance.now() - from).to.be.at.least(850);
  });
});
