/** Report: a proxy that sends absolute targets gets 404 for functions, and they evade the bound of a body. */

import { expect } from 'chai';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { exchange } from '../support/raw-http.js';

describe('report: an absolute target', () => {
  let box: TestBox;
  before(async () => {
    box = await startBox({ functionsPort: 0, functionsHost: 'functions.example' });
    await box.serve('echo', echo);
  });
  after(() => box.close());
  const send = async (target: string, headers: string, body = '', method = 'POST'): Promise<number[]> =>
    (
      await exchange(
        box.gateway.port,
        `${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${headers}Connection: close\r\n\r\n${body}`,
      )
    ).map(({ status }) => status);

  it('calls a function', async () => {
    expect(await send('http://localhost/function/echo', 'Content-Length: 1\r\n', 'x')).to.deep.equal([200]);
  });

  it('evades neither bounds, nor the guard, nor the name that only functions answer to', async () => {
    const tooLong = 'Content-Length: 7000000\r\nExpect: 100-continue\r\n';
    expect(await send('http://localhost/function/echo', tooLong)).to.deep.equal([413]);
    const page = 'User-Agent: Mozilla/5.0\r\nSec-Fetch-Site: cross-site\r\n';
    expect(await send('http://localhost/function/echo', page, '', 'GET')).to.deep.equal([403]);
    expect(await send('http://evil.example/v1/functions', '', '', 'GET')).to.deep.equal([403]);
    expect(await send('http://functions.example/v1/functions', '', '', 'GET')).to.deep.equal([404]);
  });
});
