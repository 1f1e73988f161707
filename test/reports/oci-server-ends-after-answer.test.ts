import { join } from 'node:path';
import { expect } from 'chai';
import { OciBench } from '../support/oci-bench.js';
import { nodeLayer, writeLayout } from '../support/oci-images.js';
import { call, errorOf } from '../support/sandboxes.js';

/** It answers, is busy while the next request comes, and leaves that unread. */
const SERVER = `
import { createServer } from 'node:http';
createServer((request, response) => {
  response.end('ok', () => setImmediate(() => {
    if (request.url !== '/stay') { const until = Date.now() + 50; while (Date.now() < until); }
    if (request.url === '/close') request.socket.destroy();
    if (request.url === '/exit') process.exit(1);
  }));
}).listen(process.env.PORT);`;

/** The call that it had not taken failed. */
describe('the server of an image, after an answer', function () {
  this.timeout(30_000);
  const bench = new OciBench();
  let variant: string;
  before(async () => {
    const folder = join(bench.directory, 'image');
    const app = [{ path: 'app/server.mjs', content: SERVER }];
    const config = { Entrypoint: ['node', '/app/server.mjs'], Env: ['PATH=/usr/bin:/bin'] };
    writeLayout(folder, { layers: [nodeLayer(), app], config });
    variant = await bench.deploy({ image: folder });
  });
  after(() => bench.close());

  it('closes its connection: the next call is sent again', async () => {
    const sandbox = await bench.run(variant);
    expect((await call(sandbox, { path: '/close' })).body.toString()).to.equal('ok');
    expect((await call(sandbox, { path: '/stay' })).body.toString()).to.equal('ok');
  });

  it('ends: the next call has not begun, and can go elsewhere', async () => {
    const sandbox = await bench.run(variant);
    expect((await call(sandbox, { path: '/exit' })).body.toString()).to.equal('ok');
    const error = await errorOf(call(sandbox, { path: '/stay' }));
    expect([error.code, error.details?.started]).to.deep.equal(['FUNCTION_EXIT', false]);
  });
});
