/** HTTP/1.1 for a server, RFC 9110 and RFC 9112, on raw sockets: one line a rule, with its section. */

import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { CallRequest } from '../../src/model/call.js';
import { rawSocket, untilClosed, untilText } from '../gateway/http-client.js';
import { type Handler, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { exchange, type WireAnswer } from '../support/raw-http.js';

const HOST = 'Host: localhost\r\n';
const END = 'Connection: close\r\n\r\n';
const SPY = '/function/spy';

type Seen = Pick<CallRequest, 'method' | 'path' | 'query' | 'headers'> & { body: string };

/** What a row holds: the statuses of all answers, and more of the last one. */
interface Row {
  rule: string;
  send: string;
  gives: number | number[];
  /** Header -> its value; undefined: it is not there. */
  headers?: Record<string, string | RegExp | undefined>;
  body?: string | RegExp;
  chunked?: boolean;
  /** What the function was called with, if it was; `false`: it was not. */
  seen?: Partial<Seen> | false;
  methods?: string[];
}

/** `GET <target>` with a host and an end of the connection. */
const get = (target: string, headers = '', method = 'GET'): string =>
  `${method} ${target} HTTP/1.1\r\n${HOST}${headers}${END}`;
const post = (headers: string, body: string, target = SPY): string =>
  `POST ${target} HTTP/1.1\r\n${HOST}${headers}${END}${body}`;
const sized = (body: string): string => `Content-Length: ${body.length}\r\n`;
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

/** Of headers that do not come. */
const GONE = undefined as unknown as string;

// biome-ignore format: one line a rule
const TABLE: Record<string, Row[]> = {
  'RFC 9112, 2.2: message parsing': [
    { rule: 'an empty line before the request is ignored', send: `\r\n${get(SPY)}`, gives: 200 },
    { rule: 'a line that ends with LF alone', send: `GET ${SPY} HTTP/1.1\n${HOST}${END}`, gives: 400, seen: false },
    { rule: 'a bare CR', send: get(SPY, 'X-A: a\rX-B: b\r\n'), gives: 400, seen: false },
    { rule: 'whitespace before the first header', send: `GET ${SPY} HTTP/1.1\r\n ${HOST}${END}`, gives: 400, seen: false },
  ],
  'RFC 9112, 2.3: version': [
    { rule: 'another major version', send: `GET ${SPY} HTTP/3.0\r\n${HOST}${END}`, gives: 505, seen: false },
    { rule: 'a version in small letters', send: `GET ${SPY} http/1.1\r\n${HOST}${END}`, gives: 400, seen: false },
  ],
  'RFC 9112, 3: request line': [
    { rule: 'whitespace in the target', send: get(`${SPY} x`), gives: 400, seen: false },
    { rule: 'a target too long: 414', send: get(`${SPY}/${'a'.repeat(20_000)}`), gives: 414, seen: false },
    { rule: 'a method that the server does not know: 501', send: get(SPY, '', 'STEAL'), gives: 501, seen: false },
    { rule: 'methods are case-sensitive', send: get(SPY, '', 'get'), gives: 501, seen: false },
    { rule: 'a registered method goes to its function', send: get(SPY, '', 'PROPFIND'), gives: 200, seen: { method: 'PROPFIND' } },
  ],
  'RFC 9112, 3.2: request target': [
    { rule: 'origin form: path and query as they came', send: get(`${SPY}/a%2Fb%20c//d/../e;f=%C3%A9?x=%41&&y=+z`), gives: 200, seen: { path: '/a%2Fb%20c//d/../e;f=%C3%A9', query: 'x=%41&&y=+z' } },
    { rule: 'absolute form', send: get(`http://localhost${SPY}/a?b`), gives: 200, seen: { path: '/a', query: 'b' } },
    { rule: 'absolute form, scheme and host in any case', send: get(`HTTP://LocalHost:80${SPY}`), gives: 200, seen: { path: '/' } },
    { rule: 'absolute form, as a proxy that ended TLS sends it', send: get(`https://localhost${SPY}`), gives: 200, seen: { path: '/' } },
    { rule: 'absolute form: its host replaces Host', send: `GET http://127.0.0.1:1${SPY} HTTP/1.1\r\nHost: evil.example\r\n${END}`, gives: 200, seen: { headers: { host: '127.0.0.1:1', connection: GONE } } },
    { rule: 'absolute form of a host that is not this', send: get(`http://evil.example${SPY}`), gives: 403, seen: false },
    { rule: 'absolute form with user information', send: get(`http://a@localhost${SPY}`), gives: 400, seen: false },
    { rule: 'absolute form of another scheme', send: get(`ftp://localhost${SPY}`), gives: 400, seen: false },
    { rule: 'absolute form without a host', send: get(`http://${SPY}`), gives: 400, seen: false },
    { rule: 'absolute form without a path', send: get('http://localhost'), gives: 404, seen: false },
    { rule: 'absolute form: the bound of a body holds', send: post('Expect: 100-continue\r\nContent-Length: 7000000\r\n', '', `http://localhost${SPY}`), gives: 413, seen: false },
    { rule: 'authority form of anything but CONNECT', send: get('localhost:80'), gives: 400, seen: false },
    { rule: 'CONNECT: 405', send: get('localhost:80', '', 'CONNECT'), gives: 405, headers: { allow: /GET/ }, seen: false },
    { rule: 'asterisk form of OPTIONS', send: get('*', '', 'OPTIONS'), gives: 204, headers: { allow: /GET/, 'content-length': undefined }, seen: false },
    { rule: 'asterisk form of anything else', send: get('*'), gives: 400, seen: false },
    { rule: 'no Host', send: `GET ${SPY} HTTP/1.1\r\n${END}`, gives: 400, seen: false },
    { rule: 'two Hosts', send: get(SPY, HOST), gives: 400, seen: false },
    { rule: 'a Host that is none', send: `GET ${SPY} HTTP/1.1\r\nHost: a b\r\n${END}`, gives: 400, seen: false },
    { rule: 'an empty Host', send: `GET ${SPY} HTTP/1.1\r\nHost:\r\n${END}`, gives: 400, seen: false },
  ],
  'RFC 9112, 5: header fields': [
    { rule: 'whitespace before the colon', send: get(SPY, 'X-A : b\r\n'), gives: 400, seen: false },
    { rule: 'a folded line', send: get(SPY, 'X-A: b\r\n c\r\n'), gives: 400, seen: false },
    { rule: 'whitespace around a value is not of it', send: get(SPY, 'X-A: \t b \t\r\n'), gives: 200, seen: { headers: { 'x-a': 'b' } } },
    { rule: 'an empty value', send: get(SPY, 'X-A:\r\n'), gives: 200, seen: { headers: { 'x-a': '' } } },
    { rule: 'headers too large: 431', send: get(SPY, `X-A: ${'a'.repeat(20_000)}\r\n`), gives: 431, seen: false },
  ],
  'RFC 9112, 6 and 7: framing': [
    { rule: 'a length and chunks', send: post(`${sized('abcd')}${CHUNKED}`, '0\r\n\r\n'), gives: 400, seen: false },
    { rule: 'lengths that differ', send: post('Content-Length: 4\r\nContent-Length: 5\r\n', 'abcde'), gives: 400, seen: false },
    { rule: 'a list of lengths', send: post('Content-Length: 4, 4\r\n', 'abcd'), gives: 400, seen: false },
    { rule: 'a length that is not a number', send: post('Content-Length: 4x\r\n', 'abcd'), gives: 400, seen: false },
    { rule: 'chunks, their extensions and trailers', send: post(CHUNKED, '2;a=b;c="d"\r\nab\r\nA\r\ncdefghijkl\r\n0\r\nX-T: u\r\n\r\n'), gives: 200, seen: { body: 'abcdefghijkl' } },
    { rule: 'the name of the coding in any case', send: post('Transfer-Encoding: Chunked\r\n', '1\r\na\r\n0\r\n\r\n'), gives: 200, seen: { body: 'a' } },
    { rule: 'trailers are no headers', send: post(CHUNKED, '1\r\na\r\n0\r\nX-T: u\r\nHost: evil.example\r\n\r\n'), gives: 200, seen: { headers: { 'x-t': GONE, host: 'localhost' } } },
    { rule: 'a coding that the server does not know: 501', send: post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'), gives: 501, seen: false },
    { rule: 'a coding that is not chunked last', send: post('Transfer-Encoding: gzip\r\n', ''), gives: 400, seen: false },
    { rule: 'a chunk without a size', send: post(CHUNKED, 'zz\r\na\r\n0\r\n\r\n'), gives: 400, seen: false },
    { rule: 'a chunk of more than 64 bits', send: post(CHUNKED, 'fffffffffffffffff\r\na'), gives: 400, seen: false },
    { rule: 'a chunk that is longer than it says', send: post(CHUNKED, '1\r\nab\r\n0\r\n\r\n'), gives: 400, seen: false },
    { rule: 'no length and no chunks: no body', send: post('', ''), gives: 200, seen: { body: '' } },
    { rule: 'a body of GET', send: get(SPY, sized('ab')).concat('ab'), gives: 200, seen: { method: 'GET', body: 'ab' } },
    { rule: 'chunks in HTTP/1.0', send: `POST ${SPY} HTTP/1.0\r\n${HOST}${CHUNKED}\r\n1\r\na\r\n0\r\n\r\n`, gives: 400, seen: false },
  ],
  'RFC 9112, 9: connections': [
    { rule: '9.3: requests are answered in their order', send: `GET ${SPY}/slow HTTP/1.1\r\n${HOST}\r\nGET ${SPY}/stream HTTP/1.1\r\n${HOST}\r\n${get(SPY)}`, gives: [200, 200, 200], body: /^\{"method"/ },
    { rule: '9.3: HTTP/1.0 ends with its answer', send: `GET ${SPY} HTTP/1.0\r\n${HOST}\r\n`, gives: 200, headers: { connection: 'close' } },
    { rule: '9.3: HTTP/1.0 goes on if it asks for it', send: `GET ${SPY} HTTP/1.0\r\n${HOST}Connection: keep-alive\r\n\r\n${get(SPY)}`, gives: [200, 200] },
    { rule: '6.1: HTTP/1.0 gets no chunks', send: `GET ${SPY}/stream HTTP/1.0\r\n${HOST}\r\n`, gives: 200, chunked: false, headers: { 'transfer-encoding': undefined, trailer: undefined, connection: 'close' }, body: 'onetwo' },
    { rule: '9.6: a close that is asked for is said', send: get(SPY), gives: 200, headers: { connection: 'close' } },
  ],
  'RFC 9110: answers': [
    { rule: '6.6.1: Date', send: get(SPY), gives: 200, headers: { date: /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/ } },
    { rule: '6.6.1: Date of an error', send: get('/function/nobody'), gives: 404, headers: { date: / GMT$/ } },
    { rule: '8.6: a short answer has its length', send: get(`${SPY}/short`), gives: 200, chunked: false, headers: { 'content-length': '5' }, body: 'short' },
    { rule: '8.6: a length that is told is sent, also of an answer in pieces', send: get(`${SPY}/told`), gives: 200, chunked: false, headers: { 'content-length': '6' }, body: 'onetwo' },
    { rule: '9112, 7.1: an answer of unknown length has chunks and its end', send: get(`${SPY}/stream`), gives: 200, chunked: true, headers: { 'content-length': undefined }, body: 'onetwo' },
    { rule: '9.3.2: HEAD has no body, and its length', send: get(`${SPY}/short`, '', 'HEAD'), methods: ['HEAD'], gives: 200, headers: { 'content-length': '5' } },
    { rule: '9.3.2: HEAD of what has only a length', send: get(`${SPY}/head`, '', 'HEAD'), methods: ['HEAD'], gives: 200, headers: { 'content-length': '1234' } },
    { rule: '9.3.2: HEAD of a stream', send: get(`${SPY}/stream`, '', 'HEAD'), methods: ['HEAD'], gives: 200 },
    { rule: '9.3.2: HEAD of an error', send: get('/function/nobody', '', 'HEAD'), methods: ['HEAD'], gives: 404 },
    { rule: '15.3.5: 204 has neither body nor length', send: get(`${SPY}/204`), gives: 204, headers: { 'content-length': undefined, 'transfer-encoding': undefined } },
    { rule: '15.3.5: 204 in pieces', send: get(`${SPY}/204stream`), gives: 204, headers: { 'content-length': undefined, 'transfer-encoding': undefined } },
    { rule: '15.3.6: 205 in pieces', send: `GET ${SPY}/205stream HTTP/1.1\r\n${HOST}\r\n${get(`${SPY}/short`)}`, gives: [205, 200], body: 'short' },
    { rule: '15.4.5: 304 in pieces', send: `GET ${SPY}/304stream HTTP/1.1\r\n${HOST}\r\n${get(`${SPY}/short`)}`, gives: [304, 200], body: 'short' },
    { rule: '15.3.6: 205 has no body', send: get(`${SPY}/205`), gives: 205, headers: { 'content-length': '0' }, body: '' },
    { rule: '15.4.5: 304 has no body and keeps its ETag', send: get(`${SPY}/304`), gives: 304, headers: { etag: '"a"', 'transfer-encoding': undefined } },
    { rule: '14.4: 206 and Content-Range', send: get(`${SPY}/206`, 'Range: bytes=0-1\r\n'), gives: 206, headers: { 'content-range': 'bytes 0-1/4' }, seen: { headers: { range: 'bytes=0-1' } } },
    { rule: '5.3: an answer keeps its cookies apart (RFC 6265)', send: get(`${SPY}/cookies`), gives: 200 },
    { rule: '15: a status that is not registered', send: get(`${SPY}/299`), gives: 299 },
  ],
  'RFC 9110: methods': [
    { rule: '9.3.7: OPTIONS of a function is its own', send: get(SPY, '', 'OPTIONS'), gives: 200, seen: { method: 'OPTIONS' } },
    { rule: '9.3.8: TRACE: 405', send: get(SPY, '', 'TRACE'), gives: 405, headers: { allow: /GET, HEAD, POST/ }, seen: false },
    { rule: '7.6.2: TRACE with Max-Forwards: 405', send: get(SPY, 'Max-Forwards: 0\r\n', 'TRACE'), gives: 405, seen: false },
    { rule: '15.5.6: TRACE of something else: 405 or 404', send: get('/nothing', '', 'TRACE'), gives: 405, headers: { allow: /GET/ } },
  ],
  'RFC 9110, 7.8: Upgrade': [
    { rule: 'HTTP/2, as curl offers it', send: `GET ${SPY} HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n${get(SPY)}`, gives: [200, 200] },
    { rule: 'with a body', send: `POST ${SPY} HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n${sized('body')}\r\nbody`, gives: 200, seen: { body: 'body' } },
    { rule: 'with a body in chunks', send: `POST ${SPY} HTTP/1.1\r\n${HOST}Connection: Upgrade, close\r\nUpgrade: h2c\r\n${CHUNKED}\r\n1\r\na\r\n0\r\n\r\n`, gives: 200, seen: { body: 'a' } },
    { rule: 'TLS (RFC 2817)', send: `GET ${SPY} HTTP/1.1\r\n${HOST}Connection: upgrade\r\nUpgrade: TLS/1.0\r\n\r\n${get(SPY)}`, gives: [200, 200] },
    { rule: 'without Connection', send: get(SPY, 'Upgrade: h2c\r\n'), gives: 200, seen: { headers: { upgrade: GONE } } },
    { rule: 'on no function', send: `GET /nothing HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n${get(SPY)}`, gives: [404, 200] },
    { rule: 'OPTIONS with an offer', send: `OPTIONS ${SPY} HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n${get(SPY)}`, gives: [200, 200] },
    { rule: 'a WebSocket among others, of what has none', send: `GET ${SPY} HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n${get(SPY)}`, gives: [200, 200] },
    { rule: 'a WebSocket of what has none', send: `GET ${SPY} HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`, gives: 404, seen: false },
  ],
  'RFC 9110, 10.1.1: Expect': [
    { rule: '100-continue with a length', send: post(`Expect: 100-continue\r\n${sized('body')}`, 'body'), gives: [100, 200], seen: { body: 'body', headers: { expect: GONE } } },
    { rule: '100-continue in any case', send: post(`Expect: 100-Continue\r\n${sized('body')}`, 'body'), gives: [100, 200], seen: { body: 'body' } },
    { rule: '100-continue of too much: refused before it is sent', send: post('Expect: 100-continue\r\nContent-Length: 7000000\r\n', ''), gives: 413, seen: false },
    { rule: '100-continue of nobody: refused before it is sent', send: post(`Expect: 100-continue\r\n${sized('body')}`, '', '/function/nobody'), gives: 404, headers: { connection: 'close' } },
    { rule: '15.2: HTTP/1.0 gets no informational answer', send: `POST ${SPY} HTTP/1.0\r\n${HOST}Expect: 100-continue\r\n${sized('body')}\r\nbody`, gives: 200, seen: { body: 'body' } },
    { rule: 'another expectation: 417', send: post(`Expect: coffee\r\n${sized('')}`, ''), gives: 417, seen: false },
  ],
  'RFC 9110: headers that a function gets': [
    { rule: '5.3: several lines of a list', send: get(SPY, 'X-A: b\r\nX-A: c, d\r\n'), gives: 200, seen: { headers: { 'x-a': 'b, c, d' } } },
    { rule: '5.3: several cookies', send: get(SPY, 'Cookie: a=1\r\nCookie: b=2\r\n'), gives: 200, seen: { headers: { cookie: 'a=1; b=2' } } },
    { rule: '5.5: a value beyond ASCII', send: get(SPY, 'X-A: \u00e9\r\n'), gives: 200, seen: { headers: { 'x-a': '\u00e9' } } },
    { rule: '7.6.1: nothing of the connection, nor what it names', send: get(SPY, 'Connection: X-Mine, keep-alive\r\nX-Mine: a\r\nKeep-Alive: timeout=5\r\nProxy-Connection: b\r\nTE: trailers\r\n',), gives: 200, seen: { headers: { 'x-mine': GONE, 'keep-alive': GONE, 'proxy-connection': GONE, te: GONE, connection: GONE } } },
    { rule: '13.1: conditions', send: get(SPY, 'If-None-Match: "a", W/"b"\r\nIf-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT\r\nIf-Range: "a"\r\n',), gives: 200, seen: { headers: { 'if-none-match': '"a", W/"b"', 'if-modified-since': 'Sat, 29 Oct 1994 19:43:31 GMT', 'if-range': '"a"' } } },
    { rule: '12.5: what the caller accepts', send: get(SPY, 'Accept: text/html;q=0.5\r\nAccept-Encoding: br\r\n'), gives: 200, seen: { headers: { accept: 'text/html;q=0.5', 'accept-encoding': 'br' } } },
    { rule: '8.4: a coded body as it came', send: post(`Content-Encoding: gzip\r\n${sized(gzipSync('body').toString('latin1'))}`, gzipSync('body').toString('latin1'),), gives: 200, seen: { body: gzipSync('body').toString('latin1'), headers: { 'content-encoding': 'gzip' } } },
    { rule: '11.6: credentials', send: get(SPY, 'Authorization: Basic YTpi\r\nProxy-Authorization: Basic YTpi\r\n'), gives: 200, seen: { headers: { authorization: 'Basic YTpi', 'proxy-authorization': GONE } } },
  ],
};

const later = (then: () => void): void => void setImmediate(() => setImmediate(then));

const spy: Handler = (call, sink, timeline) => {
  const pieces = (status: number, headers: Record<string, string>): void => {
    sink.onHead(status, headers);
    later(() => {
      sink.onChunk(Buffer.from('one'));
      later(() => {
        sink.onChunk(Buffer.from('two'));
        sink.onEnd(timeline);
      });
    });
  };
  const whole = (status: number, headers: Record<string, string>, body: string): void => {
    sink.onHead(status, headers);
    if (body !== '') sink.onChunk(Buffer.from(body));
    sink.onEnd(timeline);
  };
  switch (call.path) {
    case '/slow':
      return later(() => whole(200, {}, 'slow'));
    case '/short':
      return whole(200, {}, 'short');
    case '/stream':
      return pieces(200, {});
    case '/told':
      return pieces(200, { 'content-length': '6' });
    case '/head':
      return whole(200, { 'content-length': '1234' }, '');
    case '/204':
    case '/205':
      return whole(Number(call.path.slice(1)), {}, 'body');
    case '/204stream':
    case '/205stream':
    case '/304stream':
      return pieces(Number(call.path.slice(1, 4)), {});
    case '/299':
      return whole(299, {}, '');
    case '/304':
      return whole(304, { etag: '"a"', 'content-length': '99' }, '');
    case '/206':
      return whole(206, { 'content-range': 'bytes 0-1/4' }, 'ab');
    case '/cookies':
      return whole(200, { 'set-cookie': 'a=1; Expires=Sat, 29 Oct 1994 19:43:31 GMT\nb=2' }, '');
    default: {
      const { method, path, query, headers, body } = call;
      return whole(200, {}, JSON.stringify({ method, path, query, headers, body: body.toString('latin1') }));
    }
  }
};

describe('conformance: HTTP/1.1 for a server (RFC 9110, RFC 9112)', () => {
  let box: TestBox;
  let seen: Seen[] = [];
  before(async () => {
    box = await startBox({ functionsPort: 0 });
    await box.serve('spy', (call, sink, timeline) => {
      seen.push({ ...call, body: call.body.toString('latin1') });
      spy(call, sink, timeline);
    });
  });
  after(() => box.close());
  const ports = (): number[] => [box.gateway.port, Number(new URL(box.gateway.functionsUrl!).port)];

  for (const [section, rows] of Object.entries(TABLE)) {
    describe(section, () => {
      for (const row of rows) {
        it(row.rule, async () => {
          for (const port of ports()) {
            seen = [];
            const answers = await exchange(port, row.send, row.methods);
            check(row, answers, seen);
          }
        });
      }
    });
  }

  function check(
    { gives, headers = {}, body, chunked, seen: called }: Row,
    answers: WireAnswer[],
    calls: Seen[],
  ): void {
    expect(
      answers.map(({ status }) => status),
      JSON.stringify(answers),
    ).to.deep.equal([gives].flat());
    const last = answers.at(-1)!;
    for (const [name, value] of Object.entries(headers)) {
      if (value instanceof RegExp) expect(last.headers[name], name).to.match(value);
      else expect(last.headers[name], name).to.equal(value);
    }
    if (body instanceof RegExp) expect(last.body).to.match(body);
    else if (body !== undefined) expect(last.body).to.equal(body);
    if (chunked !== undefined) expect(last.chunked).to.equal(chunked);
    if (called === false) expect(calls).to.deep.equal([]);
    if (called === undefined || called === false) return;
    const call = calls.at(-1)!;
    for (const [key, value] of Object.entries(called)) {
      if (key !== 'headers') expect(call[key as 'path'], key).to.equal(value);
      else for (const [name, text] of Object.entries(value)) expect(call.headers[name], name).to.equal(text);
    }
  }

  it('RFC 6265, 3: each cookie has a line of its own where functions have their origin', async () => {
    const [answer] = await exchange(ports()[1]!, get(`${SPY}/cookies`));
    expect(answer!.lines.filter((line) => line.startsWith('set-cookie'))).to.deep.equal([
      'set-cookie: a=1; Expires=Sat, 29 Oct 1994 19:43:31 GMT',
      'set-cookie: b=2',
    ]);
  });

  it('RFC 9112, 9.3: one connection takes request after request, and says for how long', async () => {
    const socket = await rawSocket(ports()[0]!);
    for (let i = 0; i < 3; i++) {
      const answered = untilText(socket, /short$/);
      socket.write(`GET ${SPY}/short HTTP/1.1\r\n${HOST}\r\n`);
      expect(await answered)
        .to.match(/\r\nConnection: keep-alive\r\n/)
        .and.match(/\r\nKeep-Alive: timeout=75\r\n/);
    }
    socket.destroy();
  });

  it('RFC 9112, 8: a request that breaks off reaches nobody', async () => {
    seen = [];
    for (const text of [
      `POST ${SPY} HTTP/1.1\r\n${HOST}${sized('body')}\r\nbo`,
      `GET ${SPY} HTTP/1.1\r\nHost`,
    ]) {
      const socket = await rawSocket(ports()[0]!);
      socket.end(text);
      expect(await untilClosed(socket)).to.match(/^HTTP\/1\.1 400 /);
    }
    expect(seen).to.deep.equal([]);
  });

  it('RFC 9112, 9.6: what follows a close that was asked for is not answered', async () => {
    seen = [];
    const answers = await exchange(ports()[0]!, `${get(`${SPY}/slow`)}${get(SPY)}`);
    expect(answers.map(({ body }) => body)).to.deep.equal(['slow']);
    expect(seen).to.have.length(1);
  });

  it('RFC 9112, 9.3.2: what is no request waits for the answers to those before it', async () => {
    const answers = await exchange(ports()[0]!, `GET ${SPY}/slow HTTP/1.1\r\n${HOST}\r\nnonsense\r\n\r\n`);
    expect(answers.map(({ status }) => status)).to.deep.equal([200, 400]);
  });

  it('RFC 9112, 9.3.2: a connection that is closed while idle is closed back', async () => {
    const socket = await rawSocket(ports()[0]!);
    const answered = untilText(socket, /short$/);
    socket.write(`GET ${SPY}/short HTTP/1.1\r\n${HOST}\r\n`);
    await answered;
    const more = untilClosed(socket);
    socket.end();
    expect(await more).to.equal('');
  });
});
