import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { expect } from 'chai';
import type { CallRequest, CallTimeline } from '../../src/model/call.js';
import { NemoError } from '../../src/model/errors.js';
import type { ReplySink } from '../../src/model/reply-sink.js';
import { until } from '../support/waiting.js';
import { ask, rawSocket, untilClosed, untilText } from './http-client.js';
import { echo, startBox, type TestBox } from './in-process-platform.js';

describe('calling functions', () => {
  let box: TestBox;
  let url: string;
  let seen: CallRequest;
  let sinks: Array<{ sink: ReplySink; timeline: CallTimeline }>;
  before(async () => {
    box = await startBox({ functionsPort: 0 });
    url = `${box.gateway.url}/function`;
    await box.serve('echo', echo);
    await box.serve('spy', (call, sink, timeline) => {
      seen = call;
      sink.onHead(200, {});
      sink.onEnd(timeline);
    });
    await box.serve('hold', (_call, sink, timeline) => {
      sinks.push({ sink, timeline });
      waiting?.();
    });
  });
  after(() => box.close());
  let waiting: (() => void) | undefined;
  beforeEach(() => {
    sinks = [];
    waiting = undefined;
  });
  const firstHeld = (): Promise<void> =>
    sinks.length > 0
      ? Promise.resolve()
      : new Promise((resolve) => {
          waiting = resolve;
        });

  it('hands over method, path, query and body as they came', async () => {
    for (const [method, path, expected] of [
      ['GET', '/spy', { path: '/', query: '' }],
      ['GET', '/spy/', { path: '/', query: '' }],
      ['POST', '/spy/a/b%2Fc?x=1&y=%20', { path: '/a/b%2Fc', query: 'x=1&y=%20' }],
      ['DELETE', '/spy?/a', { path: '/', query: '/a' }],
      ['PATCH', '/spy/../../etc/passwd', { path: '/../../etc/passwd', query: '' }],
      ['PROPFIND', '/spy//', { path: '//', query: '' }],
    ] as const) {
      const socket = await rawSocket(box.gateway.port);
      socket.write(`${method} /function${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      expect(await untilClosed(socket), path).to.match(/^HTTP\/1.1 200/);
      expect(seen).to.include({ method, ...expected });
      expect(seen.ref.key).to.equal('spy');
      expect(seen.body).to.have.length(0);
    }
  });

  it('drops hop-by-hop headers on the way in, also those that Connection names', async () => {
    await ask(`${url}/spy`, {
      headers: {
        'X-Nemo-Trigger': 'cron',
        Connection: 'close, X-Private',
        'X-Private': 'no',
        'Keep-Alive': 'timeout=5',
        TE: 'trailers',
        'Proxy-Authorization': 'secret',
        'X-Kept': ['a', 'b'],
        Cookie: 'k=v',
      },
    });
    expect(seen.headers).to.include({ 'x-kept': 'a, b', cookie: 'k=v' });
    for (const name of [
      'connection',
      'x-private',
      'keep-alive',
      'te',
      'proxy-authorization',
      'x-nemo-trigger',
    ]) {
      expect(seen.headers[name], name).to.equal(undefined);
    }
  });

  it('drops hop-by-hop headers and its own on the way out', async () => {
    await box.serve('rude', (_call, sink, timeline) => {
      sink.onHead(201, {
        Connection: 'upgrade',
        'transfer-encoding': 'chunked',
        'Content-Length': '99999',
        'X-Call-Id': 'forged',
        'x-fine': 'yes',
        'set-cookie': 'a=1; Path=/\nb=2',
      });
      sink.onChunk(Buffer.from('body'));
      sink.onEnd(timeline);
    });
    const answer = await ask(`${url}/rude`, { headers: { 'X-Call-Id': 'mine' } });
    expect(answer.status).to.equal(201);
    expect(answer.body.toString()).to.equal('body');
    expect(answer.headers).to.include({ 'content-length': '4', 'x-call-id': 'mine', 'x-fine': 'yes' });
    expect(answer.headers['transfer-encoding']).to.equal(undefined);
    const own = await ask(`${box.gateway.functionsUrl}/function/rude`);
    expect(own.headers['set-cookie']).to.deep.equal(['a=1; Path=/', 'b=2']);
  });

  it('tells call id, duration and kind of start', async () => {
    const [one, two] = [await ask(`${url}/echo`), await ask(`${url}/echo`)];
    expect(one.headers['x-nemo-start']).to.equal('warm');
    expect(Number(one.headers['x-duration-seconds'])).to.be.within(0, 5);
    expect(one.headers['x-call-id'])
      .to.match(/^[\w-]{8,}$/)
      .and.not.equal(two.headers['x-call-id']);
    const odd = await ask(`${url}/echo`, { headers: { 'X-Call-Id': 'a b"<script>' } });
    expect(odd.headers['x-call-id']).to.match(/^[\w-]+$/);
  });

  it('carries a body of 6 MB both ways, bit for bit, whatever its type says', async () => {
    const body = randomBytes(6 * 2 ** 20);
    for (const type of ['application/json', 'application/octet-stream', 'nonsense']) {
      const answer = await ask(`${url}/echo`, { method: 'POST', headers: { 'content-type': type }, body });
      expect(answer.status).to.equal(200);
      expect(answer.body.equals(body)).to.equal(true);
      expect(answer.headers['content-type']).to.equal(type);
    }
  });

  it('takes a chunked body', async () => {
    const outgoing = request(`${url}/echo`, { method: 'PUT', agent: false });
    for (const part of ['one ', 'two ', 'three']) outgoing.write(part);
    outgoing.end();
    const [incoming] = await once(outgoing, 'response');
    let text = '';
    for await (const chunk of incoming) text += chunk;
    expect(text).to.equal('one two three');
  });

  it('answers HEAD, 204 and 304 without a body', async () => {
    await box.serve('status', (call, sink, timeline) => {
      sink.onHead(Number(call.query), { 'content-type': 'text/plain' });
      sink.onChunk(Buffer.from('hidden'));
      sink.onEnd(timeline);
    });
    const head = await ask(`${url}/status?200`, { method: 'HEAD' });
    expect(head.headers['content-length']).to.equal('6');
    expect(head.body).to.have.length(0);
    for (const status of [204, 304]) {
      const answer = await ask(`${url}/status?${status}`);
      expect(answer.status).to.equal(status);
      expect(answer.headers['content-length']).to.equal(undefined);
      expect(answer.body).to.have.length(0);
    }
  });

  it('keeps the connection for the next call after every kind of answer', async () => {
    const socket = await rawSocket(box.gateway.port);
    const call = (method: string, path: string) =>
      `${method} /function/${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    socket.write(
      call('HEAD', 'status?200') +
        call('GET', 'status?204') +
        call('GET', 'nobody') +
        call('GET', 'echo/last'),
    );
    const text = await untilText(socket, /(HTTP\/1\.1[\s\S]*){4}\r\n\r\n$/);
    socket.destroy();
    expect(text.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(
      ['200', '204', '404', '200'].map((s) => `HTTP/1.1 ${s}`),
    );
  });

  it('streams: the first bytes arrive before the function has ended', async () => {
    const outgoing = request(`${url}/hold`, { agent: false }).end();
    await firstHeld();
    const { sink, timeline } = sinks[0]!;
    sink.onHead(200, { 'content-type': 'text/event-stream' }, 'stem');
    sink.onChunk(Buffer.from('first'));
    const [incoming] = await once(outgoing, 'response');
    expect(incoming.headers).to.include({ 'transfer-encoding': 'chunked', 'x-nemo-start': 'stem' });
    const [chunk] = await once(incoming, 'data');
    expect(chunk.toString()).to.equal('first');
    sink.onChunk(Buffer.from('second'));
    const [next] = await once(incoming, 'data');
    expect(next.toString()).to.equal('second');
    sink.onEnd({ ...timeline, endedMs: performance.now() });
    await once(incoming, 'end');
    expect(Number(incoming.trailers['x-duration-seconds'])).to.be.within(0, 20);
  });

  it('sends a head at once although no body follows yet', async () => {
    const outgoing = request(`${url}/hold`, { agent: false }).end();
    await firstHeld();
    const { sink, timeline } = sinks[0]!;
    sink.onHead(202, {});
    const [incoming] = await once(outgoing, 'response');
    expect(incoming.statusCode).to.equal(202);
    sink.onEnd(timeline);
    incoming.resume();
    await once(incoming, 'end');
  });

  it('streams to an HTTP/1.0 client by closing', async () => {
    const socket = await rawSocket(box.gateway.port);
    socket.write('GET /function/hold HTTP/1.0\r\nHost: localhost\r\n\r\n');
    await firstHeld();
    const { sink, timeline } = sinks[0]!;
    sink.onHead(200, {});
    sink.onChunk(Buffer.from('one '));
    sink.onChunk(Buffer.from('two'));
    sink.onEnd(timeline);
    expect(await untilClosed(socket))
      .to.match(/\r\n\r\none two$/)
      .and.not.match(/transfer-encoding/i);
  });

  it('gives each failure its status, code and hint, and when to come back', async () => {
    for (const [code, status, retry] of [
      ['FUNCTION_ERROR', 500, undefined],
      ['FUNCTION_TIMEOUT', 504, undefined],
      ['FUNCTION_OOM', 507, undefined],
      ['OVERLOADED', 429, '1'],
      ['NO_CAPACITY', 503, '1'],
    ] as const) {
      await box.serve('fail', (_call, sink, timeline) =>
        sink.onError(new NemoError(code, `it failed: ${code}`, { hint: 'do better' }), timeline),
      );
      const answer = await ask(`${url}/fail`);
      expect(answer.status).to.equal(status);
      expect(answer.json()).to.deep.equal({
        error: { code, message: `it failed: ${code}`, hint: 'do better' },
      });
      expect(answer.headers['retry-after']).to.equal(retry);
      expect(answer.headers['x-nemo-error']).to.equal(code);
      expect(answer.headers['x-call-id']).to.be.a('string');
    }
  });

  it('breaks a stream off visibly when the function fails in the middle', async () => {
    const outgoing = request(`${url}/hold`, { agent: false }).end();
    await firstHeld();
    const { sink, timeline } = sinks[0]!;
    sink.onHead(200, {});
    sink.onChunk(Buffer.from('half'));
    const [incoming] = await once(outgoing, 'response');
    await once(incoming, 'data');
    const broken = once(incoming, 'error');
    sink.onError(new NemoError('FUNCTION_EXIT', 'gone'), timeline);
    expect((await broken)[0].code).to.equal('ECONNRESET');
  });

  it('turns an answer that is not HTTP into FUNCTION_ERROR', async () => {
    for (const [status, headers] of [
      [99, {}],
      [101, {}],
      [1000, {}],
      [Number.NaN, {}],
      [200, { 'x-bad': 'a\r\nSet-Cookie: forged=1' }],
      [200, { 'bad name': 'x' }],
    ] as Array<[number, Record<string, string>]>) {
      await box.serve('odd', (_call, sink, timeline) => {
        sink.onHead(status, headers);
        sink.onChunk(Buffer.from('x'));
        sink.onEnd(timeline);
      });
      const answer = await ask(`${url}/odd`);
      expect(answer.status, String(status)).to.equal(500);
      expect(answer.json().error.code).to.equal('FUNCTION_ERROR');
      expect(answer.headers['set-cookie']).to.equal(undefined);
    }
  });

  it('tells the source that its caller has left', async () => {
    const outgoing = request(`${url}/hold`, { agent: false }).end();
    outgoing.on('error', () => undefined);
    await firstHeld();
    const { sink, timeline } = sinks[0]!;
    expect(sink.gone).to.equal(false);
    const resumed = new Promise<void>((resolve) => {
      sink.onHead(200, {});
      sink.onChunk(Buffer.alloc(4 * 2 ** 20));
      sink.onChunk(Buffer.alloc(4 * 2 ** 20));
      sink.whenDrained!(resolve);
    });
    outgoing.destroy();
    await resumed;
    expect(sink.gone).to.equal(true);
    sink.onChunk(Buffer.from('late'));
    sink.onEnd(timeline);
  });

  it('shows a slow caller as backlog and says when it is gone', async () => {
    const outgoing = request(`${url}/hold`, { agent: false }).end();
    await firstHeld();
    const { sink, timeline } = sinks[0]!;
    sink.onHead(200, {});
    const [incoming] = await Promise.all([
      once(outgoing, 'response').then(([message]) => message),
      sink.onChunk(Buffer.alloc(1024)),
    ]);
    incoming.pause();
    const chunk = Buffer.alloc(2 ** 20);
    for (let i = 0; i < 12; i++) sink.onChunk(chunk);
    expect(sink.backlogBytes).to.be.greaterThan(2 ** 20);
    const drained = new Promise<void>((resolve) => sink.whenDrained!(resolve));
    let bytes = 0;
    incoming.on('data', (data: Buffer) => {
      bytes += data.length;
    });
    incoming.resume();
    await drained;
    expect(sink.backlogBytes).to.equal(0);
    sink.onEnd(timeline);
    await once(incoming, 'end');
    expect(bytes).to.equal(12 * 2 ** 20 + 1024);
  });

  it('cuts off a caller that does not read before it takes all memory', async () => {
    const socket = await rawSocket(box.gateway.port);
    socket.pause();
    socket.write('GET /function/hold HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await firstHeld();
    const { sink, timeline } = sinks[0]!;
    sink.onHead(200, {});
    const chunk = Buffer.alloc(2 ** 20);
    let given = 0;
    for (; given < 64 && !sink.gone; given++) sink.onChunk(chunk);
    expect(sink.gone).to.equal(true);
    expect(given).to.be.within(16, 40);
    sink.onEnd(timeline);
    socket.destroy();
  });

  it('refuses calls while it stops, lets those that run end, and frees the port', async () => {
    const closing = await startBox();
    let held: { sink: ReplySink; timeline: CallTimeline } | undefined;
    const arrived = new Promise<void>((resolve) => {
      void closing.serve('slow', (_call, sink, timeline) => {
        held = { sink, timeline };
        resolve();
      });
    });
    await until(() => closing.platform.registry.get('slow') !== undefined);
    const early = await rawSocket(closing.gateway.port);
    early.write(
      'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /function/slow HTTP/1.1\r\nHost: localhost\r\n',
    );
    await untilText(early, /"ok"/);
    const running = ask(`${closing.gateway.url}/function/slow`);
    await arrived;
    const closed = closing.close();
    early.write('\r\n');
    const refused = await untilText(early, /STOPPING/);
    expect(refused)
      .to.match(/503/)
      .and.match(/Retry-After: 1/i);
    held!.sink.onHead(200, {});
    held!.sink.onChunk(Buffer.from('done'));
    held!.sink.onEnd(held!.timeline);
    expect((await running).body.toString()).to.equal('done');
    early.destroy();
    await closed;
    const thrown = await ask(closing.gateway.url).catch((error: NodeJS.ErrnoException) => error.code);
    expect(thrown).to.equal('ECONNREFUSED');
  });
});
