import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect } from 'chai';
import { afterLastByte, type Untaken } from '../../src/linux/socket-options.js';
import { untakenTo } from '../support/untaken.js';
import { until } from '../support/waiting.js';

const BYTES = 400_000;

describe('the end of a connection of the relay', () => {
  it('is when its peer has taken the last byte, not when it is closed', async () => {
    let peer: Socket | undefined;
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      peer = socket.on('error', () => {});
      socket.end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).resume();
    let gone = false;
    afterLastByte(socket, () => {
      gone = true;
    });
    await once(socket, 'end');
    socket.end(Buffer.alloc(BYTES));
    await once(socket, 'close');
    expect(gone).to.equal(false);
    let bytes = 0;
    peer!.on('data', (chunk) => {
      bytes += chunk.length;
    });
    peer!.resume();
    await once(peer!, 'end');
    expect(bytes).to.equal(BYTES);
    await until(() => gone);
    peer!.destroy();
    server.close();
  });

  it('comes for the one that waits longest where more would wait than may', async () => {
    const peers: Socket[] = [];
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      peers.push(socket.on('error', () => {}));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const waiting: Untaken = new Set();
    const gone: number[] = [];
    for (let i = 0; i < 3; i++) {
      const socket = connect({ port, host: '127.0.0.1' });
      afterLastByte(socket, () => gone.push(i), waiting, 2);
      await once(socket, 'connect');
      socket.end(Buffer.alloc(BYTES), () => socket.destroy());
      await once(socket, 'close');
    }
    expect(gone).to.deep.equal([0]);
    expect(untakenTo(port)).to.have.length(2);
    for (const peer of peers) peer.destroy();
    await until(() => gone.length === 3);
    server.close();
  });
});
