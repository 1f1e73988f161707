/** Report: idle connections close after 5 s, while a balancer keeps its own for 60 s and then sends into closed ones. */

import { once } from 'node:events';
import { expect } from 'chai';
import { resolveConfig } from '../../src/config/config.js';
import { rawSocket, untilClosed, untilText } from '../gateway/http-client.js';
import { echo, startBox } from '../gateway/in-process-platform.js';

const REQUEST = 'GET /function/echo HTTP/1.1\r\nHost: localhost\r\n\r\n';

describe('report: an idle connection', () => {
  it('is kept longer than a balancer keeps it, and longer than a request line may take', async () => {
    const timeouts = { headersTimeoutMs: 200, requestTimeoutMs: 400 };
    const box = await startBox({ timeouts });
    await box.serve('echo', echo);
    const socket = await rawSocket(box.gateway.port);
    const first = untilText(socket, /\r\n\r\n/);
    socket.write(REQUEST);
    expect(await first).to.contain('Keep-Alive: timeout=75');
    // One that never asks is hung up on: as long ago the first one asked.
    expect(await untilClosed(await rawSocket(box.gateway.port))).to.match(/^HTTP\/1\.1 408 /);
    const second = untilText(socket, /\r\n\r\n/);
    socket.write(REQUEST);
    expect(await second).to.match(/^HTTP\/1\.1 200 /);
    socket.destroy();
    await box.close();
  });

  it('is kept as long as the configuration says', async () => {
    expect(resolveConfig({}, [0]).http.keepAliveTimeoutMs).to.equal(75_000);
    const { keepAliveTimeoutMs } = resolveConfig({ http: { keepAliveTimeout: '100ms' } }, [0]).http;
    const box = await startBox({ timeouts: { keepAliveTimeoutMs } });
    await box.serve('echo', echo);
    const socket = await rawSocket(box.gateway.port);
    socket.resume().write(REQUEST);
    if (!socket.closed) await once(socket, 'close');
    await box.close();
  });
});
