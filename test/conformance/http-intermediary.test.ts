/**
 * HTTP/1.1 for an intermediary, RFC 9110 and RFC 9112: what goes through NEMO to a server in an image and back, both
 * on raw sockets. One line a rule, with its section.
 */

import { EventEmitter, once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import { HttpChannel } from '../../src/engine/oci/http-channel.js';
import type { CallRequest } from '../../src/model/call.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { ChannelEvents } from '../../src/sandbox/channel.js';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';
import { exchange, type WireAnswer } from '../support/raw-http.js';
import { later } from '../support/waiting.js';

const HOST = 'Host: localhost\r\n';
const END = 'Connection: close\r\n\r\n';
const get = (headers = '', method = 'GET', target = '/function/server'): string =>
  `${method} ${target} HTTP/1.1\r\n${HOST}${headers}${END}`;
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** What the server is sent, and what its answer becomes. */
interface Row {
  rule: string;
  send: string;
  /** What the server answers. */
  answers?: string;
  /** The server closes the connection behind its answer. */
  closes?: true;
  /** In the head, or behind it, of what the server gets. */
  gets?: RegExp;
  getsNot?: RegExp;
  gives?: number;
  headers?: Record<string, string | undefined>;
  body?: string;
  chunked?: boolean;
  methods?: string[];
}

// biome-ignore format: one line a rule
const TABLE: Record<string, Row[]> = {
  'the request on its way in': [
    { rule: '9110, 7.1 and 9112, 3.2.1: path and query as they came', send: get('', 'GET', '/function/server/a%2Fb//c/../d;e=%C3%A9?x=%41&&y=+z'), gets: /^GET \/a%2Fb\/\/c\/\.\.\/d;e=%C3%A9\?x=%41&&y=\+z HTTP\/1\.1\r\n/ },
    { rule: '9110, 9.1: the method as it came', send: get('', 'PROPFIND'), gets: /^PROPFIND \/ / },
    { rule: '9110, 7.2: the host that was asked for', send: get(), gets: /\r\nhost: localhost\r\n/i },
    { rule: '9112, 3.2.2: the host of an absolute target', send: get('', 'GET', 'http://127.0.0.1:7/function/server/a'), gets: /^GET \/a HTTP\/1\.1\r\n[\s\S]*host: 127\.0\.0\.1:7\r\n/i },
    { rule: '9110, 7.6.1: nothing of the connection', send: get('Keep-Alive: timeout=3\r\nTE: trailers\r\nProxy-Connection: x\r\nProxy-Authorization: Basic YTpi\r\nUpgrade: h2c\r\n'), getsNot: /keep-alive: timeout|\r\nte:|proxy-|upgrade/i },
    { rule: '9110, 7.6.1: nothing that Connection names', send: get('X-Mine: 1\r\nConnection: X-Mine\r\n'), getsNot: /x-mine/i },
    { rule: '9110, 7.6.2: Max-Forwards of OPTIONS is counted down', send: get('Max-Forwards: 5\r\n', 'OPTIONS'), gets: /\r\nmax-forwards: 4\r\n/i },
    { rule: '9110, 7.6.2: Max-Forwards of 0 is answered here', send: get('Max-Forwards: 0\r\n', 'OPTIONS'), gives: 204, headers: { allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' } },
    { rule: '9110, 7.6.2: Max-Forwards of other methods is left alone', send: get('Max-Forwards: 5\r\n'), gets: /\r\nmax-forwards: 5\r\n/i },
    { rule: '9110, 7.6.3: Via', send: get(), gets: /\r\nvia: 1\.1 nemo\r\n/i },
    { rule: '9110, 7.6.3: Via behind those before it', send: get('Via: 1.0 fred\r\n'), gets: /\r\nvia: 1\.0 fred, 1\.1 nemo\r\n/i },
    { rule: '9110, 13.1 and 14.2: conditions and ranges', send: get('If-None-Match: "a"\r\nIf-Range: "a"\r\nRange: bytes=0-1\r\n'), gets: /if-none-match: "a"\r\nif-range: "a"\r\nrange: bytes=0-1\r\n/i },
    { rule: '9110, 5.2: several lines of a list', send: get('X-A: b\r\nX-A: c\r\n'), gets: /\r\nx-a: b, c\r\n/i },
    { rule: '9110, 5.1: headers that nobody knows', send: get('X-Unknown-1: \u00e9\r\n'), gets: /\r\nx-unknown-1: \u00e9\r\n/i },
    { rule: '9110, 10.1.1: an expectation that was met is not passed on', send: `POST /function/server HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n${END}hi`, gets: /\r\n\r\nhi$/, getsNot: /expect/i },
    { rule: '9112, 6.3: chunks have one framing of their own', send: `POST /function/server HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n${END}1;a=b\r\nh\r\n1\r\ni\r\n0\r\nX-T: 1\r\n\r\n`, gets: /\r\ncontent-length: 2\r\n(.*\r\n)*\r\nhi$/i, getsNot: /transfer-encoding|x-t/i },
    { rule: '9110, 8.6: a POST without a body says so', send: get('', 'POST'), gets: /\r\ncontent-length: 0\r\n/i },
    { rule: '9110, 8.4: a coded body as it came', send: `POST /function/server HTTP/1.1\r\n${HOST}Content-Encoding: gzip\r\nContent-Length: 2\r\n${END}zz`, gets: /content-encoding: gzip\r\n[\s\S]*zz$/i },
    { rule: '9112, 2.3: HTTP/1.0 becomes HTTP/1.1', send: `GET /function/server HTTP/1.0\r\n${HOST}\r\n`, gets: /^GET \/ HTTP\/1\.1\r\n/ },
  ],
  'the answer on its way out': [
    { rule: '9110, 15.2: 102 and 103 are not the answer', send: get(), answers: `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${OK}`, gives: 200, body: 'ok' },
    { rule: '9110, 15.2.2: a 101 that nobody asked for is a fault', send: get(), answers: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n', gives: 500 },
    { rule: '9110, 7.6.1: nothing of the connection', send: get(), answers: 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3\r\nProxy-Connection: x\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok', gives: 200, headers: { 'keep-alive': undefined, 'proxy-connection': undefined, 'proxy-authenticate': undefined, upgrade: undefined } },
    { rule: '9110, 7.6.1: nothing that Connection names', send: get(), answers: 'HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nContent-Length: 2\r\n\r\nok', gives: 200, headers: { 'x-mine': undefined } },
    { rule: '9110, 5.2: several lines of a list', send: get(), answers: 'HTTP/1.1 200 OK\r\nVary: a\r\nVary: b\r\nContent-Length: 2\r\n\r\nok', gives: 200, headers: { vary: 'a, b' } },
    { rule: '9110, 15: the status, whatever it is', send: get(), answers: 'HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\nok', gives: 418, body: 'ok' },
    { rule: '9110, 8.6: the length that the server told', send: get(), answers: 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok|ok', gives: 200, chunked: false, headers: { 'content-length': '4' }, body: 'okok' },
    { rule: '9112, 7.1: chunks, without what they say beside', send: get(), answers: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n|1\r\nk\r\n0\r\nX-T: 1\r\n\r\n', gives: 200, body: 'ok', headers: { 'x-t': undefined } },
    { rule: '9112, 6.3: a body up to the end of the connection', send: get(), answers: 'HTTP/1.0 200 OK\r\n\r\nok', closes: true, gives: 200, body: 'ok' },
    { rule: '9112, 8: a body shorter than it said is not taken for whole', send: get(), answers: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok', closes: true },
    { rule: '9112, 8: chunks that break off are not taken for whole', send: get(), answers: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n', closes: true },
    { rule: '9110, 9.3.2: HEAD', send: get('', 'HEAD'), methods: ['HEAD'], answers: 'HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n', gives: 200, headers: { 'content-length': '4000' } },
    { rule: '9110, 9.3.2: HEAD of chunks', send: get('', 'HEAD'), methods: ['HEAD'], answers: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', gives: 200 },
    { rule: '9110, 15.3.5: 204', send: get(), answers: 'HTTP/1.1 204 No Content\r\nETag: "a"\r\n\r\n', gives: 204, headers: { etag: '"a"', 'content-length': undefined, 'transfer-encoding': undefined } },
    { rule: '9110, 15.4.5: 304 and its ETag', send: get('If-None-Match: "a"\r\n'), answers: 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 9\r\n\r\n', gives: 304, headers: { etag: '"a"', 'transfer-encoding': undefined } },
    { rule: '9110, 14.4: 206', send: get('Range: bytes=0-1\r\n'), answers: 'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok', gives: 206, headers: { 'content-range': 'bytes 0-1/9', 'content-length': '2' }, body: 'ok' },
    { rule: '9110, 15.4: a redirection is the caller’s to follow', send: get(), answers: 'HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n', gives: 302, headers: { location: '/elsewhere' } },
    { rule: '9110, 8.4: a coded body as it came', send: get('Accept-Encoding: gzip\r\n'), answers: 'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\u001f\u008b', gives: 200, headers: { 'content-encoding': 'gzip' }, body: '\u001f\u008b' },
    { rule: '9112, 6.1: HTTP/1.0 gets no chunks', send: `GET /function/server HTTP/1.0\r\n${HOST}\r\n`, answers: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n|1\r\nk\r\n0\r\n\r\n', gives: 200, chunked: false, body: 'ok' },
    { rule: '9112, 6.3: a length and chunks', send: get(), answers: 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', gives: 500 },
    { rule: '9112, 6.3: two lengths', send: get(), answers: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk', gives: 500 },
    { rule: '9112, 4: what is no answer', send: get(), answers: 'hello\r\n\r\n', gives: 500 },
    { rule: '9112, 8: no answer at all', send: get(), answers: '', closes: true, gives: 500 },
  ],
};

/** A container's end: what it was sent, and what it answers next. */
class RawServer {
  heard = '';
  answers = OK;
  closes = false;
  readonly server: Server;

  constructor() {
    this.server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        this.heard += bytes.toString('latin1');
        const head = /^[\s\S]*?\r\n\r\n/.exec(this.heard)?.[0];
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(head ?? '')?.[1] ?? 0);
        if (head !== undefined && this.heard.length >= head.length + length) this.answer(socket);
      });
    }).listen(0, '127.0.0.1');
  }

  /** In pieces that are not read together. */
  private answer(socket: Socket): void {
    const [piece = '', ...more] = this.answers.split('|');
    const next = (): void => {
      const [after, ...rest] = more;
      if (after === undefined) {
        if (this.closes) socket.end();
        return;
      }
      more.splice(0, more.length, ...rest);
      later(5, () => socket.write(after, 'latin1', next));
    };
    socket.write(piece, 'latin1', next);
  }
}

describe('conformance: HTTP/1.1 for an intermediary (RFC 9110, RFC 9112)', () => {
  const container = new RawServer();
  let box: TestBox;
  let channel: HttpChannel;
  before(async () => {
    if (!container.server.listening) await once(container.server, 'listening');
    const { port } = container.server.address() as { port: number };
    const gate = Object.assign(new EventEmitter(), { write: () => true, pause: () => undefined });
    const loaded = new Promise<void>((resolve) => {
      const events: ChannelEvents = {
        ...{ onReady: () => undefined, onLoaded: () => resolve(), onLoadFailed: () => undefined },
        ...{ onViolation: () => undefined, onFault: () => undefined },
      };
      channel = new HttpChannel(gate as unknown as Socket, events, () => connect(port, '127.0.0.1'));
    });
    channel.load({
      ref: functionRef('server'),
      source: { kind: 'image' },
      bundlePath: '',
      env: {},
      memoryBytes: 1,
      timeoutMs: 1_000,
      concurrency: 4,
    });
    await loaded;
    // On an origin of their own functions say all that they may.
    box = await startBox({ functionsPort: 0 });
    await box.serve('server', (call: CallRequest, sink, timeline) => {
      channel.call(call, 1_000, {
        onHead: (status, headers) => sink.onHead(status, headers),
        onChunk: (chunk) => sink.onChunk(chunk),
        onEnd: () => sink.onEnd(timeline),
        onError: (error) => sink.onError(error, undefined),
        get gone() {
          return sink.gone === true;
        },
      });
      sink.whenLeft?.(() => channel.callersLeft());
    });
  });
  after(async () => {
    channel.endAll(() => Object.assign(new Error('ended')) as never);
    container.server.close();
    await box.close();
  });

  for (const [part, rows] of Object.entries(TABLE)) {
    describe(part, () => {
      for (const row of rows) {
        it(row.rule, async () => {
          Object.assign(container, { heard: '', answers: row.answers ?? OK, closes: row.closes ?? false });
          const port = Number(new URL(box.gateway.functionsUrl!).port);
          const answered = exchange(port, row.send, row.methods);
          // One that breaks off must not look whole.
          if (row.gives === undefined && row.answers !== undefined) {
            const broken = await answered.then(
              ([answer]) => answer!.status,
              () => 'broken',
            );
            expect(broken).to.be.oneOf(['broken', 500]);
            return;
          }
          const last: WireAnswer = (await answered).at(-1)!;
          expect(last.status, last.body).to.equal(row.gives ?? 200);
          for (const [name, value] of Object.entries(row.headers ?? {}))
            expect(last.headers[name], name).to.equal(value);
          if (row.body !== undefined) expect(last.body).to.equal(row.body);
          if (row.chunked !== undefined) expect(last.chunked).to.equal(row.chunked);
          if (row.gets !== undefined) expect(container.heard).to.match(row.gets);
          if (row.getsNot !== undefined) expect(container.heard).to.not.match(row.getsNot);
        });
      }
    });
  }

  it('RFC 6265, 3: each cookie has a line of its own', async () => {
    Object.assign(container, {
      heard: '',
      answers: 'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n',
    });
    const [answer] = await exchange(Number(new URL(box.gateway.functionsUrl!).port), get());
    expect(answer!.lines.filter((line) => /^set-cookie/i.test(line))).to.deep.equal([
      'set-cookie: a=1',
      'set-cookie: b=2',
    ]);
  });
});
