import { once } from 'node:events';
import { request } from 'node:http';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { FEED_SERVER } from '../../src/tunables/index.js';
import { until } from '../support/waiting.js';
import { ask, rawSocket, untilClosed, untilText } from './http-client.js';
import { echo, startBox, type TestBox } from './in-process-platform.js';

const HEAD = 'Host: localhost\r\n';

describe('gateway against hostile clients', function () {
  this.timeout(15_000);
  let box: TestBox;
  let calls = 0;
  before(async () => {
    box = await startBox({
      allowedHosts: ['edge.example'],
      timeouts: { headersTimeoutMs: 400, requestTimeoutMs: 800 },
    });
    await box.serve('echo', (call, sink, timeline) => {
      calls++;
      echo(call, sink, timeline);
    });
  });
  after(() => box.close());
  /** Every abuse is followed by an ordinary call: the gateway must be as before. */
  afterEach(async () => {
    const answer = await ask(`${box.gateway.url}/function/echo`, { method: 'POST', body: 'still here' });
    expect(answer.body.toString()).to.equal('still here');
  });
  const send = async (text: string): Promise<string> => {
    const socket = await rawSocket(box.gateway.port);
    socket.write(text);
    return untilClosed(socket);
  };

  it('refuses a flood of headers with 431', async () => {
    const answer = await send(
      `GET /function/echo HTTP/1.1\r\n${HEAD}${'X-Flood: xxxxxxxxxxxxxxxx\r\n'.repeat(2_000)}\r\n`,
    );
    expect(answer)
      .to.match(/^HTTP\/1\.1 431/)
      .and.contain('"BAD_REQUEST"');
  });

  it('refuses what is no HTTP with 400', async () => {
    expect(await send('\x16\x03\x01 hello\r\n\r\n'))
      .to.match(/^HTTP\/1\.1 400/)
      .and.contain('"BAD_REQUEST"');
  });

  it('refuses two lengths, and a length beside chunks: no request can be smuggled', async () => {
    for (const headers of [
      'Content-Length: 5\r\nContent-Length: 6\r\n',
      'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
    ]) {
      const answer = await send(
        `POST /function/echo HTTP/1.1\r\n${HEAD}${headers}\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n`,
      );
      expect(answer, headers).to.match(/^HTTP\/1\.1 400/);
      expect(answer.match(/HTTP\/1\.1 \d/g), headers).to.have.length(1);
    }
  });

  it('gives up on headers that never end, and on a body that drips', async () => {
    const slowHead = await rawSocket(box.gateway.port);
    slowHead.write(`GET /function/echo HTTP/1.1\r\n${HEAD}X-Slow: `);
    const slowBody = await rawSocket(box.gateway.port);
    slowBody.write(`POST /function/echo HTTP/1.1\r\n${HEAD}Content-Length: 1000\r\n\r\ndrip`);
    const before = calls;
    const answers = await Promise.all([untilClosed(slowHead), untilClosed(slowBody)]);
    for (const answer of answers)
      expect(answer)
        .to.match(/^HTTP\/1\.1 408/)
        .and.contain('"BAD_REQUEST"');
    expect(calls).to.equal(before);
  });

  it('does not call a function whose upload was broken off', async () => {
    const before = calls;
    const socket = await rawSocket(box.gateway.port);
    socket.write(`POST /function/echo HTTP/1.1\r\n${HEAD}Content-Length: 100000\r\n\r\n${'x'.repeat(5_000)}`);
    await ask(`${box.gateway.url}/healthz`);
    socket.resetAndDestroy();
    await ask(`${box.gateway.url}/healthz`);
    expect(calls).to.equal(before);
  });

  it('answers 413 to a declared, a chunked and an announced body that is too large', async () => {
    const large = Buffer.alloc(7 * 2 ** 20);
    const before = calls;
    const declared = await ask(`${box.gateway.url}/function/echo`, { method: 'POST', body: large });
    expect(declared.status).to.equal(413);
    expect(declared.json().error.code).to.equal('BODY_TOO_LARGE');

    const chunked = request(`${box.gateway.url}/function/echo`, { method: 'POST', agent: false });
    // The connection may be closed before the rest of the body is on its way.
    chunked.on('error', () => undefined);
    for (let i = 0; i < 7; i++) chunked.write(large.subarray(0, 2 ** 20));
    chunked.end();
    const [answer] = await once(chunked, 'response');
    expect(answer.statusCode).to.equal(413);
    answer.resume();
    await once(answer, 'end');

    const announced = request(`${box.gateway.url}/function/echo`, {
      method: 'POST',
      agent: false,
      headers: { Expect: '100-continue', 'Content-Length': String(large.length) },
    });
    announced.on('continue', () => announced.destroy(new Error('told to go on')));
    announced.flushHeaders();
    const [refusal] = await once(announced, 'response');
    expect(refusal.statusCode).to.equal(413);
    announced.destroy();
    expect(calls).to.equal(before);
  });

  it('takes exactly the largest body, also after asking first', async () => {
    const body = Buffer.alloc(6 * 2 ** 20, 7);
    const answer = await ask(`${box.gateway.url}/function/echo`, {
      method: 'POST',
      headers: { Expect: '100-continue', 'Content-Length': String(body.length) },
      body,
    });
    expect(answer.body.equals(body)).to.equal(true);
  });

  it('answers only to its own names (DNS rebinding)', async () => {
    const withHost = async (host: string): Promise<string> =>
      send(`GET /v1/functions HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    for (const host of ['localhost', 'LOCALHOST:8080', '127.0.0.1:1', '[::1]:8080', 'edge.example:80']) {
      expect(await withHost(host), host).to.match(/^HTTP\/1\.1 200/);
    }
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil', '10.0.0.1']) {
      const answer = await withHost(host);
      expect(answer, host)
        .to.match(/^HTTP\/1\.1 403/)
        .and.contain('allowedHosts');
    }
    for (const none of ['localhost:80:80', '', 'local host']) {
      expect(await withHost(none), none).to.match(/^HTTP\/1\.1 400/);
    }
    expect(await send(`GET /function/echo HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n`)).to.match(
      / 403/,
    );
    expect(await send('GET /v1/functions HTTP/1.0\r\n\r\n')).to.match(/^HTTP\/1\.1 403/);
  });

  it('lets no foreign page change or call anything', async () => {
    const own = box.gateway.url;
    for (const [origin, allowed] of [
      [own, true],
      ['http://edge.example', true],
      ['https://evil.example', false],
      ['http://localhost:3000', false],
      ['null', false],
      ['file://', false],
    ] as const) {
      const headers = { Origin: origin };
      const call = await ask(`${own}/function/echo`, { method: 'POST', headers, body: 'x' });
      expect(call.status, origin).to.equal(allowed ? 200 : 403);
      const removal = await ask(`${own}/v1/functions/nobody`, {
        method: 'DELETE',
        headers: { ...headers, 'X-Nemo-Request': '1' },
      });
      expect(removal.status, origin).to.equal(allowed ? 404 : 403);
      const socket = new WebSocket(`${own.replace('http', 'ws')}/feed`, { origin });
      const status = await new Promise((resolve) => {
        socket.on('open', () => resolve('open'));
        socket.on('unexpected-response', (_request, response) => resolve(response.statusCode));
        socket.on('error', () => undefined);
      });
      socket.terminate();
      expect(status, origin).to.equal(allowed ? 'open' : 403);
    }
    expect(box.platform.registry.get('echo')).to.not.equal(undefined);
  });

  it('upgrades nothing but the feed', async () => {
    const socket = await rawSocket(box.gateway.port);
    socket.write(`GET /function/echo HTTP/1.1\r\n${HEAD}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    expect(await untilClosed(socket))
      .to.match(/^HTTP\/1\.1 404/)
      .and.contain('NOT_FOUND');
  });

  it('takes no more readers of the feed than it has places for', async () => {
    const url = `${box.gateway.url.replace('http', 'ws')}/feed`;
    const statusOf = (socket: WebSocket): Promise<number> =>
      new Promise((resolve) => {
        socket.on('open', () => resolve(101));
        socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
        socket.on('error', () => undefined);
      });
    const readers = Array.from({ length: FEED_SERVER.readersMax / 2 }, () => new WebSocket(url));
    expect(new Set(await Promise.all(readers.map(statusOf)))).to.deep.equal(new Set([101]));
    expect(await statusOf(new WebSocket(url))).to.equal(503);
    readers.pop()!.terminate();
    let late: WebSocket;
    do late = new WebSocket(url);
    while ((await statusOf(late)) !== 101);
    for (const reader of [late, ...readers]) reader.terminate();
    await until(() => box.gateway.feed.readers === 0);
  });

  it('survives a reader of the feed that sends garbage and large messages', async () => {
    const socket = new WebSocket(`${box.gateway.url.replace('http', 'ws')}/feed`);
    await once(socket, 'open');
    socket.send(Buffer.alloc(100_000));
    const [code] = await once(socket, 'close');
    expect(code).to.equal(1009);
    const raw = await rawSocket(box.gateway.port);
    raw.write(
      `GET /feed HTTP/1.1\r\n${HEAD}Connection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await untilText(raw, / 101 /);
    raw.write(Buffer.alloc(64, 0xff));
    await untilClosed(raw);
  });
});
