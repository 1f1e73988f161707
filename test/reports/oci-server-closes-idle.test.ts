/** Report: a server closed a connection that had waited just when the next request came, and the call failed. */

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import type { HttpChannel } from '../../src/engine/oci/http-channel.js';
import { functionRef } from '../../src/model/function-ref.js';
import { OCI } from '../../src/tunables/index.js';
import { openChannel } from '../support/http-channels.js';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

describe('report: a server closes a connection that was to be used again', () => {
  let server: Server;
  let channel: HttpChannel;
  /** What is done with the requests, one after the other; the last goes on. */
  let acts: Array<(socket: Socket) => void>;
  /** Of each request: which connection it came on. */
  let asked: number[];
  beforeEach(async () => {
    asked = [];
    let connections = 0;
    server = createServer((socket) => {
      const number = ++connections;
      socket.on('error', () => undefined);
      socket.on('data', () => {
        asked.push(number);
        (acts.length > 1 ? acts.shift()! : acts[0]!)(socket);
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    channel = await openChannel(port);
  });
  afterEach(() => {
    channel.endAll(() => Object.assign(new Error('ended')) as never);
    server.close();
  });
  /** The body of its answer, or the code of its failure. */
  const ask = (method: string, body = ''): Promise<string> =>
    new Promise((resolve) => {
      const request = { callId: 'x', ref: functionRef('f'), method, path: '/', query: '', headers: {} };
      let text = '';
      channel.call({ ...request, body: Buffer.from(body) }, 60_000, {
        onHead: () => undefined,
        onChunk: (chunk) => {
          text += chunk.toString();
        },
        onEnd: () => resolve(text),
        onError: ({ code }) => resolve(code),
        gone: false,
      });
    });
  const answer = (socket: Socket) => void socket.write(OK);
  const close = (socket: Socket) => void socket.end();

  for (const [method, body] of [
    ['GET', ''],
    ['PUT', 'x'],
    ['DELETE', ''],
  ] as const)
    it(`without a reset: ${method} is sent again`, async () => {
      acts = [answer, close, answer];
      expect(await ask('GET')).to.equal('ok');
      expect(await ask(method, body)).to.equal('ok');
      expect(asked).to.deep.equal([1, 1, 2]);
    });

  it('POST is not: it may have been done', async () => {
    acts = [answer, close, answer];
    expect(await ask('GET')).to.equal('ok');
    expect(await ask('POST', 'x')).to.equal('FUNCTION_ERROR');
    expect(asked).to.deep.equal([1, 1]);
  });

  it('nothing is sent a third time, nor on a first connection, nor after a part of an answer', async () => {
    acts = [close];
    expect(await ask('GET')).to.equal('FUNCTION_ERROR');
    expect(asked).to.deep.equal([1]);
    acts = [answer, close];
    expect([await ask('GET'), await ask('GET')]).to.deep.equal(['ok', 'FUNCTION_ERROR']);
    expect(asked).to.deep.equal([1, 2, 2, 3]);
    acts = [answer, (socket) => void socket.end(OK.slice(0, 12)), answer];
    expect([await ask('GET'), await ask('GET')]).to.deep.equal(['ok', 'FUNCTION_ERROR']);
    expect(asked).to.deep.equal([1, 2, 2, 3, 4, 4]);
  });

  it('one that waits is closed here before servers do', () => {
    expect(OCI.keepAliveMs).to.be.lessThan(2_000);
  });
});
