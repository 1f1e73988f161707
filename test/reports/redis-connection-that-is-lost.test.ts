/**
 * Reported: Vexa-ai/vexa#267 and activepieces/activepieces#14619 (a connection that was lost without a word is waited
 * for, and the queue stands still until somebody restarts it), redis/ioredis#144 (after a failover the client goes on
 * asking the server that was demoted, and gets READONLY for ever).
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { openRedisStore } from '../../src/store/redis.js';
import { RedisStreamSource } from '../../src/triggers/redis-stream.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { type RedisServer, startRedis } from '../store/redis-server.js';
import { TcpRelay } from '../support/tcp-relay.js';
import { until } from '../support/waiting.js';

describe('report: a connection to Redis that is lost', function () {
  this.timeout(30_000);
  const directories = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'nemo-redis-')));
  let servers: RedisServer[];
  let clients: Redis[];
  let relay: TcpRelay;
  let url: string;
  let box: TestBox;
  let source: RedisStreamSource | undefined;

  const portOf = ({ url: at }: RedisServer) => Number(new URL(at).port);
  /** The answer to an entry that is added there now. */
  async function answerTo(redis: Redis, text: string): Promise<string> {
    const id = await redis.xadd('jobs', '*', 'body', text);
    let answer: string | undefined;
    await until(async () => {
      const done = await redis.xrange('done', '-', '+');
      answer = done.find(([, fields]) => fields[1] === id)?.[1][5];
      return answer !== undefined;
    });
    return answer!;
  }

  before(async () => {
    servers = await Promise.all(
      directories.map((directory) => startRedis(directory, ['--repl-diskless-sync-delay', '0'])),
    );
    clients = servers.map((server) => new Redis(server.url));
    box = await startBox();
    await box.serve('work', echo);
  });
  beforeEach(async () => {
    relay = await TcpRelay.start(portOf(servers[0]!));
    url = `redis://127.0.0.1:${relay.port}`;
  });
  afterEach(async () => {
    await source?.close();
    source = undefined;
    await relay.close();
  });
  after(async () => {
    for (const client of clients) client.disconnect();
    await box.close();
    for (const server of servers) await server.stop();
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  });
  const open = () => {
    const config = { url, stream: 'jobs', function: 'work', replies: 'done' };
    source = new RedisStreamSource(config, 'test', box.platform);
  };

  it('without a word: the queue and the store go on with another', async () => {
    open();
    expect(await answerTo(clients[0]!, 'before')).to.equal('before');
    const store = await openRedisStore(url);
    await store.put('table', 'key', 1);
    relay.lose();
    const failed = await store.put('table', 'key', 2).catch((error) => error.code);
    expect(await answerTo(clients[0]!, 'after')).to.equal('after');
    if (failed !== undefined) await store.put('table', 'key', 2);
    expect(await store.get('table', 'key')).to.equal(2);
    await store.close();
  });

  it('to a server that was demoted: they find the new one', async () => {
    const [old, next] = clients as [Redis, Redis];
    await next.replicaof('127.0.0.1', portOf(servers[0]!));
    open();
    expect(await answerTo(old, 'before')).to.equal('before');
    const store = await openRedisStore(url);
    await store.put('table', 'key', 3);
    await until(async () => (await next.hget('nemo:table', 'key')) === '3');
    await next.replicaof('NO', 'ONE');
    await old.replicaof('127.0.0.1', portOf(servers[1]!));
    relay.targetPort = portOf(servers[1]!);
    expect(await answerTo(next, 'after')).to.equal('after');
    await store.put('table', 'key', 4).catch(() => store.put('table', 'key', 4));
    expect(await next.hget('nemo:table', 'key')).to.equal('4');
    await store.close();
  });
});
