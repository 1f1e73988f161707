/** Report: who closes its sending side behind its request (netcat, health checkers) gets nothing from functions. */

import { expect } from 'chai';
import type { CallTimeline } from '../../src/model/call.js';
import type { ReplySink } from '../../src/model/reply-sink.js';
import { GATEWAY_HTTP } from '../../src/tunables/index.js';
import { rawSocket, untilClosed, untilText } from '../gateway/http-client.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { exchangeHalfClosed } from '../support/raw-http.js';
import { later, letTimePass } from '../support/waiting.js';

describe('report: a caller that closes its sending side', function () {
  this.timeout(10_000);
  let box: TestBox;
  let call: Promise<{ sink: ReplySink; timeline: CallTimeline }>;
  before(async () => {
    box = await startBox({ functionsPort: 0 });
    await box.serve('echo', echo);
    await box.serve('soon', (_call, sink, timeline) => {
      later(20, () => {
        sink.onHead(200, {});
        sink.onChunk(Buffer.from('soon'));
        sink.onEnd(timeline);
      });
    });
    call = new Promise((resolve) => {
      void box.serve('late', (_call, sink, timeline) => resolve({ sink, timeline }));
    });
  });
  after(() => box.close());

  for (const version of ['1.0', '1.1']) {
    it(`gets its answer, by HTTP/${version}, at once or a little later, also to a body`, async () => {
      for (const port of [box.gateway.port, Number(new URL(box.gateway.functionsUrl!).port)]) {
        const head = `HTTP/${version}\r\nHost: localhost\r\n`;
        const [soon] = await exchangeHalfClosed(port, `GET /function/soon ${head}\r\n`);
        expect(soon!.body).to.equal('soon');
        const post = `POST /function/echo ${head}Content-Length: 4\r\n\r\nbody`;
        expect((await exchangeHalfClosed(port, post))[0]!.body).to.equal('body');
      }
    });
  }

  it('gets its answer also if it takes long, and is asked meanwhile whether it is there', async () => {
    const socket = await rawSocket(box.gateway.port);
    socket.allowHalfOpen = true;
    const asked = untilText(socket, /(HTTP\/1\.1 100 Continue\r\n\r\n){2}/);
    socket.end('GET /function/late HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const { sink, timeline } = await call;
    await asked;
    expect(sink.gone).to.equal(false);
    const answered = untilClosed(socket);
    sink.onHead(200, {});
    sink.onEnd(timeline);
    expect(await answered).to.match(/^HTTP\/1\.1 200 OK\r\n/);
  });

  it('gets its answer also if its body was slow: it waits from the end of that', async () => {
    const head = 'HTTP/1.0\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n';
    for (const [request, answer] of [
      [`POST /function/soon ${head}`, /^HTTP\/1\.1 200 OK\r\n[\s\S]*soon$/],
      [`PUT /v1/functions/slow ${head}`, /^HTTP\/1\.1 400 /],
    ] as const) {
      const socket = await rawSocket(box.gateway.port);
      socket.allowHalfOpen = true;
      const answered = untilClosed(socket);
      socket.write(request);
      // A body that takes longer than an answer is awaited after a half-close.
      await letTimePass(GATEWAY_HTTP.halfCloseMs + 100);
      socket.end('body');
      expect(await answered).to.match(answer);
    }
  });
});
