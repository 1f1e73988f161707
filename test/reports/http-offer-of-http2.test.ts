/** Report: `curl --http2` and Java's HttpClient, which offer HTTP/2 with their first request, get 404 and a closed connection. */

import { expect } from 'chai';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { exchange } from '../support/raw-http.js';

const OFFER =
  'Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n';

describe('report: an offer of HTTP/2 that is not taken', () => {
  let box: TestBox;
  before(async () => {
    box = await startBox({ functionsPort: 0 });
    await box.serve('echo', echo);
  });
  after(() => box.close());

  for (const [path, status] of [
    ['/function/echo', 200],
    ['/v1/functions', 200],
    ['/healthz', 200],
    ['/nothing', 404],
    ['/feed', 426],
  ] as const) {
    it(`is ignored at ${path}, and the connection goes on`, async () => {
      const own = path.startsWith('/function/') ? [Number(new URL(box.gateway.functionsUrl!).port)] : [];
      for (const port of [box.gateway.port, ...own]) {
        const offer = `GET ${path} HTTP/1.1\r\n${OFFER}`;
        const last = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
        const answers = await exchange(port, offer + offer + last);
        expect(answers.map((answer) => answer.status)).to.deep.equal([status, status, status]);
      }
    });
  }
});
