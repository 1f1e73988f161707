/** Redis's own client and Python's, which know nothing of NEMO: they add entries to a stream, and read the answers. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type RedisServer, startRedis } from '../store/redis-server.js';
import { RealAgent } from '../support/real-agent.js';
import { output, PYTHON } from './run-client.js';

describe('clients: Redis', function () {
  this.timeout(60_000);
  const directory = mkdtempSync(join(tmpdir(), 'nemo-queue-'));
  let server: RedisServer;
  let agent: RealAgent | undefined;
  let port: string;
  before(async () => {
    server = await startRedis(directory);
    port = new URL(server.url).port;
    const queue = { url: server.url, stream: 'jobs', function: 'work', replies: 'done' };
    agent = await new RealAgent({ policy: 'naive', queues: [queue] }).start();
    const code = 'export default (event) => (event instanceof Uint8Array ? event : "got " + event.text);';
    expect((await agent.deploy('work', code)).status).to.equal(201);
  });
  after(async () => {
    await agent?.close();
    await server?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('redis-cli', async () => {
    const cli = async (...args: string[]) =>
      (await output('redis-cli', ['-p', port, ...args])).toString().trim();
    const id = await cli('XADD', 'jobs', '*', 'text', 'über');
    expect(await cli('--no-raw', 'XREAD', 'BLOCK', '20000', 'STREAMS', 'done', '0-0')).to.contain(id);
    const answer = (await cli('XRANGE', 'done', '-', '+')).split('\n');
    expect(answer.slice(1)).to.deep.equal(['entry', id, 'status', '200', 'body', 'got über']);
  });

  it("Python's redis: bytes of every value", async () => {
    const script = `
import redis, sys
r = redis.Redis(port=int(sys.argv[1]))
sent = {r.xadd('jobs', {'body': bytes(range(256)) + b'%d' % i}): i for i in range(100)}
last, right = '0-0', 0
while right < 100:
    for _, entries in r.xread({'done': last}, block=20000):
        for last, fields in entries:
            i = sent.get(fields[b'entry'])
            if i is not None and fields[b'body'] == bytes(range(256)) + b'%d' % i: right += 1
print(right, r.xpending('jobs', 'nemo')['pending'])`;
    expect((await output(PYTHON, ['-c', script, port])).toString()).to.equal('100 0\n');
  });
});
