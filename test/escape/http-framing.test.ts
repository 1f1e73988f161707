/** Boundary: HTTP's framing, on the raw socket. Attacker: whoever reaches a port. */

import type { Socket } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { rawSocket, untilClosed, untilText } from '../gateway/http-client.js';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';
import { FUZZ_TIMEOUT_MS, fuzzAsync } from '../support/fuzz.js';

const HOST = 'Host: localhost\r\n';
const CLOSE = 'Connection: close\r\n';

describe('escape: HTTP framing', function () {
  this.timeout(30_000);
  let box: TestBox;
  let seen: string[] = [];
  before(async () => {
    box = await startBox({
      functionsPort: 0,
      timeouts: { headersTimeoutMs: 2_000, requestTimeoutMs: 4_000 },
    });
    await box.serve('spy', (call, sink, timeline) => {
      seen.push(`${call.method} ${call.path} ${call.body}`);
      sink.onHead(200, {});
      sink.onEnd(timeline);
    });
  });
  after(() => box.close());
  beforeEach(() => {
    seen = [];
  });
  const ports = (): number[] => [box.gateway.port, Number(new URL(box.gateway.functionsUrl!).port)];
  const send = async (text: string, port: number): Promise<string> => {
    const socket = await rawSocket(port);
    socket.write(text, 'latin1');
    return untilClosed(socket);
  };

  /** Each is answered once, with the status, and no function hears of it. */
  for (const [what, request, status] of [
    [
      'a length and chunks',
      `POST /function/spy HTTP/1.1\r\n${HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /function/spy HTTP/1.1\r\n${HOST}\r\n`,
      400,
    ],
    [
      'chunks and a length',
      `POST /function/spy HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /function/spy HTTP/1.1\r\n${HOST}\r\n`,
      400,
    ],
    [
      'two lengths',
      `POST /function/spy HTTP/1.1\r\n${HOST}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`,
      400,
    ],
    ['two lengths in one', `POST /function/spy HTTP/1.1\r\n${HOST}Content-Length: 4, 5\r\n\r\nabcde`, 400],
    ['a negative length', `POST /function/spy HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\n`, 400],
    ['a length with a sign', `POST /function/spy HTTP/1.1\r\n${HOST}Content-Length: +4\r\n\r\nabcd`, 400],
    [
      'a length beyond 64 bits',
      `POST /function/spy HTTP/1.1\r\n${HOST}Content-Length: 99999999999999999999\r\n\r\n`,
      400,
    ],
    [
      'another coding after chunks',
      `POST /function/spy HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'a coding that hides itself',
      `POST /function/spy HTTP/1.1\r\n${HOST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'a chunk of no size',
      `POST /function/spy HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n`,
      400,
    ],
    ['a folded header', `GET /function/spy HTTP/1.1\r\n${HOST}X-A: b\r\n c: d\r\n${CLOSE}\r\n`, 400],
    ['a header without a name', `GET /function/spy HTTP/1.1\r\n${HOST}: nameless\r\n\r\n`, 400],
    ['a NUL in a header', `GET /function/spy HTTP/1.1\r\n${HOST}X-A: a\u0000b\r\n\r\n`, 400],
    ['a bare CR in a header', `GET /function/spy HTTP/1.1\r\n${HOST}X-A: a\rX-B: b\r\n\r\n`, 400],
    ['lines that end with LF only', `GET /function/spy HTTP/1.1\nHost: localhost\n\n`, 400],
    ['a blank in the path', `GET /function/spy x HTTP/1.1\r\n${HOST}\r\n`, 400],
    ['no version', `GET /function/spy\r\n${HOST}\r\n`, 400],
    ['HTTP/2 by prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\r\n\r\n', 400],
    ['a method that there is not', `STEAL /function/spy HTTP/1.1\r\n${HOST}\r\n`, 501],
    ['TRACE', `TRACE /function/spy HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, 405],
    [
      'an absolute address of another host',
      `GET http://evil.example/function/spy HTTP/1.1\r\n${HOST}${CLOSE}\r\n`,
      403,
    ],
    [
      'an expectation of something else',
      `POST /function/spy HTTP/1.1\r\n${HOST}Expect: coffee\r\n${CLOSE}Content-Length: 0\r\n\r\n`,
      417,
    ],
    ['no host', `GET /function/spy HTTP/1.1\r\n${CLOSE}\r\n`, 400],
    ['no host by HTTP/1.0', 'GET /function/spy HTTP/1.0\r\n\r\n', 403],
    ['two hosts', `GET /function/spy HTTP/1.1\r\n${HOST}Host: evil.example\r\n${CLOSE}\r\n`, 400],
    ['a path out of the functions', `GET /function/../v1/functions HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, 404],
    [
      'an encoded path out of the functions',
      `GET /function/%2e%2e%2fspy HTTP/1.1\r\n${HOST}${CLOSE}\r\n`,
      404,
    ],
    ['an encoded name', `GET /function/s%70y HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, 404],
    ['a name with a NUL', `GET /function/spy%00 HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, 404],
    ['another case', `GET /Function/spy HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, 404],
    ['a backslash', `GET /function\\spy HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, 404],
    ['a name of Object.prototype', `GET /function/__proto__ HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, 404],
  ] as ReadonlyArray<[string, string, number]>) {
    it(`refuses ${what}`, async () => {
      for (const port of ports()) {
        const answer = await send(request, port);
        expect(answer.match(/^HTTP\/1\.1 \d+/gm), answer).to.deep.equal([`HTTP/1.1 ${status}`]);
        expect(seen).to.deep.equal([]);
      }
    });
  }

  /** As many short ones fit into what a head may have; node lists the first 2,000 by itself. */
  const MANY = 'a:\r\n'.repeat(2_100);

  it('looks at every header, however many stand before it', async () => {
    const head = `POST /function/spy HTTP/1.1\r\n${HOST}${CLOSE}${MANY}`;
    for (const port of ports()) {
      const answer = await send(`${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, port);
      expect(answer).to.match(/^HTTP\/1\.1 501 /);
      expect(seen).to.deep.equal([]);
    }
  });

  it('takes no body for a request, behind an offer to go on in another protocol and many headers', async () => {
    const inner = `GET /function/spy/inner HTTP/1.1\r\n${HOST}${CLOSE}\r\n`;
    const offer = `POST /function/spy HTTP/1.1\r\n${HOST}Connection: Upgrade, close\r\nUpgrade: h2c\r\n`;
    for (const port of ports()) {
      seen = [];
      await send(`${offer}${MANY}Content-Length: ${inner.length}\r\n\r\n${inner}`, port);
      expect(seen).to.deep.equal([`POST / ${inner}`]);
    }
  });

  it('hangs up on who says nothing', async () => {
    for (const port of ports()) expect(await untilClosed(await rawSocket(port))).to.match(/^HTTP\/1\.1 408 /);
  });

  it('makes no tunnel', async () => {
    for (const port of ports()) {
      const answer = await send(`CONNECT localhost:${port} HTTP/1.1\r\n${HOST}\r\n`, port);
      expect(answer).to.match(/^HTTP\/1\.1 405 .*\r\n(.*\r\n)*Allow: GET/);
    }
    expect(seen).to.deep.equal([]);
  });

  it('takes requests one after the other on one connection, each with its own body', async () => {
    const socket = await rawSocket(box.gateway.port);
    const post = (path: string, body: string): string =>
      `POST /function/spy${path} HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n${body}`;
    const inside = 'GET /function/spy/smuggled HTTP/1.1\r\n\r\n';
    socket.write(
      `${post('/a', inside)}${post('/b', 'two')}GET /function/spy/c HTTP/1.1\r\n${HOST}${CLOSE}\r\n`,
    );
    const answer = await untilClosed(socket);
    expect(answer.match(/^HTTP\/1\.1 200/gm)).to.have.length(3);
    expect(seen).to.have.members([`POST /a ${inside}`, 'POST /b two', 'GET /c ']);
  });

  it('stays as it is under hostile messages, of which nothing reaches a function but whole requests', async function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    const [port] = ports() as [number];
    const kept = await rawSocket(port);
    const ordinary = async (socket: Socket): Promise<void> => {
      const answered = untilText(socket, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n$/);
      socket.write(`GET /function/spy/ok HTTP/1.1\r\n${HOST}\r\n`);
      await answered;
    };
    const holds = async (message: string): Promise<boolean> => {
      const socket = await rawSocket(port);
      await ordinary(socket);
      seen = [];
      // Whatever it was, and whatever the server still waits for: it ends with its sender.
      const closed = untilClosed(socket);
      socket.end(message, 'latin1');
      await closed;
      const heard = seen;
      await ordinary(kept);
      return heard.every((one) => /^[A-Z-]+ \/\S* /.test(one));
    };
    await fuzzAsync(hostileRequest(), holds);
    kept.destroy();
  });
});

function hostileRequest(): fc.Arbitrary<string> {
  const token = fc.constantFrom(
    ...[
      'GET',
      'POST',
      'HEAD',
      'OPTIONS',
      'TRACE',
      'CONNECT',
      'PRI',
      'BREW',
      '',
      ' ',
      '\t',
      '\r',
      '\n',
      '\r\n',
      '\u0000',
    ],
    ...[
      '/',
      '/function/spy',
      '/function/',
      '//',
      '/v1/functions',
      '/feed',
      '*',
      'http://evil/',
      '/function/../',
      '%00',
    ],
    ...['HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9', ':', ', ', ';', '"', '\u00ff', 'a'.repeat(300)],
    ...[
      'Host',
      'Host: localhost',
      'Host: evil',
      'Content-Length',
      'Content-Length: 3',
      'Content-Length: 0',
      '-1',
      '5',
    ],
    ...[
      'Transfer-Encoding: chunked',
      'Transfer-Encoding',
      'chunked',
      'identity',
      '0\r\n\r\n',
      '3\r\nabc\r\n',
      'ffffffff\r\n',
    ],
    ...[
      'Connection: close',
      'Connection: upgrade',
      'Upgrade: websocket',
      'Upgrade: h2c',
      'Expect: 100-continue',
      'Expect: x',
    ],
    ...[
      'Origin: null',
      'Sec-Fetch-Site: cross-site',
      'User-Agent: Mozilla/5.0',
      'X-Call-Id: \u0001',
      'Cookie: a=b',
    ],
  );
  const soup = fc.array(token, { minLength: 1, maxLength: 24 }).map((parts) => parts.join(''));
  const header = fc.array(token, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
  const request = fc
    .tuple(token, token, token, fc.array(header, { maxLength: 8 }), soup)
    .map(
      ([method, path, version, headers, body]) =>
        `${[`${method} ${path} ${version}`, HOST.trimEnd(), ...headers].join('\r\n')}\r\n\r\n${body}`,
    );
  const whole = fc.constant(`GET /function/spy HTTP/1.1\r\n${HOST}\r\n`);
  return fc.oneof(
    soup,
    request,
    fc.tuple(whole, soup).map(([first, second]) => first + second),
  );
}
