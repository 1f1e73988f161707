/**
 * Reported: redis/node-redis#689, redis/ioredis#706. Commands of a transaction go on where one of them fails, and
 * nobody is told: an entry was taken from its group although its answer, or the entry itself, could not be put anywhere.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { endEntry } from '../../src/triggers/end-entry.js';
import { RedisStreamSource } from '../../src/triggers/redis-stream.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { type RedisServer, startRedis } from '../store/redis-server.js';
import { until } from '../support/waiting.js';

describe('report: errors inside a transaction', function () {
  this.timeout(20_000);
  const directory = mkdtempSync(join(tmpdir(), 'nemo-queue-'));
  let server: RedisServer;
  let redis: Redis;
  let box: TestBox;
  let source: RedisStreamSource | undefined;
  const open = () => {
    const config = { url: server.url, stream: 'jobs', function: 'work', replies: 'done' };
    source = new RedisStreamSource(config, 'test', box.platform);
  };
  const warned = (pattern: RegExp) =>
    until(() => box.platform.events.since(0, 100).some(({ message }) => pattern.test(message)));

  before(async () => {
    server = await startRedis(directory);
    redis = new Redis(server.url);
  });
  beforeEach(async () => {
    await redis.flushall();
    box = await startBox();
  });
  afterEach(async () => {
    await source?.close();
    source = undefined;
    await box.close();
  });
  after(async () => {
    redis.disconnect();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('an entry whose answer nobody can get goes to the dead ones, with the reason', async () => {
    await redis.set('done', 'not a stream');
    await box.serve('work', echo);
    const id = await redis.xadd('jobs', '*', 'body', 'x');
    open();
    await warned(/went to "jobs:dead": the answer cannot be added to "done": .*WRONGTYPE/);
    const [[, fields]] = (await redis.xrange('jobs:dead', '-', '+')) as [[string, string[]]];
    expect(fields.slice(0, 4)).to.deep.equal(['body', 'x', 'nemo-entry', id]);
  });

  it('an entry that cannot be put anywhere stays where it is', async () => {
    await redis.set('jobs:dead', 'not a stream');
    await redis.xgroup('CREATE', 'jobs', 'nemo', '0', 'MKSTREAM');
    const id = (await redis.xadd('jobs', '*', 'body', 'x'))!;
    await redis.xreadgroup('GROUP', 'nemo', 'one', 'STREAMS', 'jobs', '>');
    const ended = endEntry(redis, { stream: 'jobs', group: 'nemo', id }, 'jobs:dead', ['body', 'x']);
    expect(await ended.catch((error) => error.message)).to.contain('WRONGTYPE');
    const pending = (await redis.xpending('jobs', 'nemo', '-', '+', 10)) as Array<[string]>;
    expect(pending.map(([entry]) => entry)).to.deep.equal([id]);
  });
});
