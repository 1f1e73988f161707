import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import type { CallRequest } from '../../src/model/call.js';
import { NemoError } from '../../src/model/errors.js';
import { RedisStreamSource } from '../../src/triggers/redis-stream.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { type RedisServer, startRedis } from '../store/redis-server.js';

/** Bytes that are not text came to the function, and into the dead stream, as replacement characters. */
describe('bytes in a Redis stream', function () {
  this.timeout(20_000);
  const BYTES = Buffer.from([0xff, 0xfe, 0x00, 0x80, 0xc3, 0x28, 0x0a]);
  const directory = mkdtempSync(join(tmpdir(), 'nemo-queue-'));
  let box: TestBox;
  let server: RedisServer;
  let redis: Redis;
  let source: RedisStreamSource | undefined;
  const calls: CallRequest[] = [];

  const open = (): void => {
    const config = { url: server.url, stream: 'jobs', function: 'work', replies: 'answers' };
    source = new RedisStreamSource(config, 'test', box.platform);
  };
  const valuesOf = async (stream: string): Promise<Map<string, Buffer>> => {
    for (;;) {
      const entries = (await redis.xrangeBuffer(stream, '-', '+')) as Array<[Buffer, Buffer[]]>;
      if (entries.length === 0) continue;
      const [, fields] = entries[0]!;
      return new Map(fields.flatMap((name, i) => (i % 2 === 0 ? [[name.toString(), fields[i + 1]!]] : [])));
    }
  };

  before(async () => {
    server = await startRedis(directory);
    redis = new Redis(server.url);
    box = await startBox();
  });
  beforeEach(() => redis.flushall());
  afterEach(async () => {
    await source?.close();
    calls.length = 0;
  });
  after(async () => {
    redis?.disconnect();
    await box?.close();
    await server?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('reach the function and the stream of replies as they are', async () => {
    await box.serve('work', (call, sink, timeline) => {
      calls.push(call);
      echo(call, sink, timeline);
    });
    await redis.xadd('jobs', '*', 'body', BYTES);
    open();
    expect((await valuesOf('answers')).get('body')).to.deep.equal(BYTES);
    expect(calls[0]!.body).to.deep.equal(BYTES);
    expect(calls[0]!.headers).to.include({ 'content-type': 'application/octet-stream' });
  });

  it('beside text are given in base64, and named', async () => {
    await box.serve('work', (call, sink, timeline) => {
      calls.push(call);
      echo(call, sink, timeline);
    });
    await redis.xadd('jobs', '*', 'picture', BYTES, 'name', 'größe');
    open();
    await valuesOf('answers');
    const expected = { picture: BYTES.toString('base64'), name: 'größe' };
    expect(JSON.parse(calls[0]!.body.toString())).to.deep.equal(expected);
    expect(calls[0]!.headers).to.include({
      'x-nemo-base64': '["picture"]',
      'content-type': 'application/json',
    });
  });

  it('reach the dead stream as they are', async () => {
    await box.serve('work', (_call, sink, timeline) => {
      sink.onError(new NemoError('FUNCTION_ERROR', 'boom'), timeline);
    });
    await redis.xadd('jobs', '*', 'body', BYTES, BYTES, 'name of bytes');
    open();
    const [body, odd] = (await valuesOf('jobs:dead')).values();
    expect(body).to.deep.equal(BYTES);
    expect(odd!.toString()).to.equal('name of bytes');
  });
});
