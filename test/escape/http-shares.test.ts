/** Boundary: what the gateway has for all of its clients. Attacker: one client, or one tenant, that takes it all. */

import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { ask } from '../gateway/http-client.js';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';
import { InProcessBox, settled } from '../invoke/in-process-box.js';

describe('escape: shares of the gateway', function () {
  this.timeout(30_000);
  let box: TestBox;
  before(async () => {
    box = await startBox();
  });
  after(() => box.close());

  const nested = 8_000_000;
  for (const [what, body] of [
    ['brackets', `${'['.repeat(nested)}${']'.repeat(nested)}`],
    ['brackets in a field', `{"code":"1","concurrency":${'['.repeat(nested)}${']'.repeat(nested)}}`],
    ['values', `{"env":[${'{},'.repeat(5_000_000)}{}]}`],
    ['names', `{"env":{${Array.from({ length: 60_000 }, (_, i) => `"a${i}":""`)}}}`],
  ] as const) {
    it(`reads no JSON of millions of ${what}, which a few KB of a packed body unpack to`, async () => {
      const headers = { 'content-encoding': 'gzip' };
      const answer = await ask(`${box.gateway.url}/v1/functions/f`, {
        method: 'PUT',
        headers,
        body: gzipSync(body),
      });
      expect(answer.status).to.equal(400);
      expect(answer.json().error.message).to.contain('too many values');
    });
  }

  it('looks at no function of which all sandboxes are still being made, however many wait for theirs', async () => {
    const inProcess = new InProcessBox();
    inProcess.starting = () => new Promise(() => undefined);
    const waiting = Array.from({ length: 50 }, (_, i) => `f${i}`);
    for (const name of waiting) inProcess.deploy(name);
    for (const name of [...waiting, ...waiting]) inProcess.call(name);
    await settled();
    const { blames } = inProcess.dispatcher;
    const looked: string[] = [];
    const { of } = blames;
    blames.of = (name, nowMs) => {
      looked.push(name);
      return of.call(blames, name, nowMs);
    };
    inProcess.deploy('other');
    inProcess.call('other');
    expect(looked).to.deep.equal(['other']);
    await inProcess.close();
  });

  it('leaves a place in the queues for each function when those of one tenant wait for all that they can', async () => {
    const inProcess = new InProcessBox();
    inProcess.starting = () => new Promise(() => undefined);
    for (const name of ['a', 'b', 'c', 'd', 'e', 'other']) inProcess.deploy(name);
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      for (let i = 0; i < 10_000; i++) inProcess.call(name);
    }
    for (let i = 0; i < 10; i++) expect(inProcess.call('other').outcomes).to.deep.equal([]);
    await inProcess.close();
  });

  it('reads JSON of long texts, whatever stands in them', async () => {
    const code = `export default () => ${JSON.stringify('[{,"\\'.repeat(200_000))}.length`;
    const answer = await ask(`${box.gateway.url}/v1/functions/f`, {
      method: 'PUT',
      body: JSON.stringify({ code }),
    });
    expect(answer.status).to.equal(201);
  });
});
