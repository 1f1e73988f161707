import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import type { CallRequest } from '../../src/model/call.js';
import { NemoError } from '../../src/model/errors.js';
import { type QueueConfig, RedisStreamSource } from '../../src/triggers/redis-stream.js';
import { QUEUE } from '../../src/tunables/index.js';
import { echo, type Handler, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { type RedisServer, startRedis } from '../store/redis-server.js';
import { later, until } from '../support/waiting.js';

describe('the queue source', function () {
  this.timeout(30_000);
  let box: TestBox;
  let server: RedisServer;
  let redis: Redis;
  let directory: string;
  const sources: RedisStreamSource[] = [];
  const open = (change: Partial<QueueConfig> = {}): RedisStreamSource => {
    const config = { url: server.url, stream: 'jobs', function: 'work', ...change };
    const source = new RedisStreamSource(config, 'test', box.platform);
    sources.push(source);
    return source;
  };
  const pending = async (): Promise<number> => ((await redis.xpending('jobs', 'nemo')) as [number])[0];

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'nemo-queue-'));
    server = await startRedis(directory);
    redis = new Redis(server.url);
    redis.on('error', () => undefined);
  });
  after(async () => {
    redis.disconnect();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  beforeEach(async () => {
    box = await startBox();
    await redis.flushall();
  });
  afterEach(async () => {
    for (const source of sources.splice(0)) await source.close();
    await box.close();
  });

  it('calls the function of the namespace that it names', async () => {
    const called: string[] = [];
    for (const text of ['work', 'team/work'])
      await box.serve(text, (call, sink, timeline) => {
        called.push(call.ref.key);
        echo(call, sink, timeline);
      });
    open({ function: 'team/work:live', replies: 'answers' });
    await redis.xadd('jobs', '*', 'body', 'x');
    await until(async () => (await redis.xlen('answers')) === 1);
    expect(called).to.deep.equal(['team/work']);
  });

  it('calls with each entry, also those from before it came, and gives the answers', async () => {
    const calls: CallRequest[] = [];
    await box.serve('work', (call, sink, timeline) => {
      calls.push(call);
      echo(call, sink, timeline);
    });
    await redis.xadd('jobs', '*', 'body', 'first');
    open({ replies: 'answers' });
    await redis.xadd('jobs', '*', 'size', '7', 'of', 'x');
    await until(async () => (await redis.xlen('answers')) === 2);
    expect(calls.map(({ body }) => body.toString())).to.deep.equal(['first', '{"size":"7","of":"x"}']);
    expect(calls[1]!.headers).to.include({ 'x-nemo-trigger': 'queue', 'content-type': 'application/json' });
    const [[, fields]] = (await redis.xrange('answers', '-', '+')) as [[string, string[]]];
    expect(fields).to.deep.equal([
      'entry',
      calls[0]!.headers['x-nemo-entry'],
      'status',
      '200',
      'body',
      'first',
    ]);
    expect(await pending()).to.equal(0);
  });

  it('runs no more at once than it may', async () => {
    let running = 0;
    let most = 0;
    let ended = 0;
    await box.serve('work', (call, sink, timeline) => {
      most = Math.max(most, ++running);
      later(20, () => {
        running--;
        ended++;
        echo(call, sink, timeline);
      });
    });
    for (let i = 0; i < 20; i++) await redis.xadd('jobs', '*', 'body', String(i));
    open({ parallel: 3 });
    await until(() => ended === 20);
    expect(most).to.equal(3);
  });

  it('calls again what failed, and puts away what fails for good', async () => {
    let failures = 0;
    const failing: Handler = (call, sink, timeline) => {
      if (call.body.toString() === 'good') return echo(call, sink, timeline);
      failures++;
      sink.onError(new NemoError('FUNCTION_ERROR', 'boom'), timeline);
    };
    await box.serve('work', failing);
    await redis.xadd('jobs', '*', 'body', 'bad');
    await redis.xadd('jobs', '*', 'body', 'good');
    open();
    await until(async () => (await redis.xlen('jobs:dead')) === 1);
    expect(failures).to.equal(QUEUE.deliveriesMax);
    const [[, fields]] = (await redis.xrange('jobs:dead', '-', '+')) as [[string, string[]]];
    expect(fields.slice(0, 2)).to.deep.equal(['body', 'bad']);
    expect(fields.at(-1)).to.equal('FUNCTION_ERROR: boom');
    expect(await pending()).to.equal(0);
  });

  it('holds no answer that is longer than it may be, and lets its function stop', async () => {
    const gone: boolean[] = [];
    await box.serve('work', (_call, sink, timeline) => {
      sink.onHead(200, {});
      const chunk = Buffer.alloc(QUEUE.answerMaxBytes / 2 + 1);
      for (let i = 0; i < 3; i++) {
        sink.onChunk(chunk);
        gone.push(sink.gone === true);
      }
      sink.onEnd(timeline);
    });
    await redis.xadd('jobs', '*', 'body', 'much');
    open({ replies: 'answers' });
    await until(async () => (await redis.xlen('jobs:dead')) === 1);
    expect(gone.slice(0, 3)).to.deep.equal([false, true, true]);
    const [[, fields]] = (await redis.xrange('jobs:dead', '-', '+')) as [[string, string[]]];
    expect(fields.at(-1)).to.contain('BODY_TOO_LARGE: "work" answered with more than 6291456 bytes');
    expect(await redis.xlen('answers')).to.equal(0);
  });

  it('takes no byte of an entry that is larger than a body may be, new or pending, and calls the next one', async () => {
    const seen: Buffer[] = [];
    await box.serve('work', (call, sink, timeline) => {
      seen.push(call.body);
      echo(call, sink, timeline);
    });
    // One that an agent of this name took before it ended, one with too many fields, and a new one.
    await redis.xgroup('CREATE', 'jobs', 'nemo', '0', 'MKSTREAM');
    const large = Buffer.alloc(64 * 2 ** 20, 1);
    const ids = [await redis.xadd('jobs', '*', 'body', large)];
    const take = `redis.call('XREADGROUP', 'GROUP', 'nemo', ARGV[1], 'COUNT', 1, 'STREAMS', KEYS[1], '>')`;
    await redis.eval(take, 1, 'jobs', `${hostname()}-test`);
    ids.push(await redis.xadd('jobs', '*', ...new Array<string>(2 * QUEUE.entryFieldsMax + 2).fill('')));
    ids.push(await redis.xadd('jobs', '*', 'body', large));
    const most = Buffer.alloc(QUEUE.entryMaxBytes - 'body'.length, 0xff);
    await redis.xadd('jobs', '*', 'body', most);
    const sentBytes = async (): Promise<number> =>
      Number(/total_net_output_bytes:(\d+)/.exec(await redis.info('stats'))![1]);
    const before = await sentBytes();
    open();
    await until(async () => seen.length === 1 && (await pending()) === 0);
    expect(most.equals(seen[0]!)).to.equal(true);
    expect((await sentBytes()) - before).to.be.below(QUEUE.entryMaxBytes + 2 ** 20);
    const dead = (await redis.xrange('jobs:dead', '-', '+')).map(([, fields]) => fields);
    expect(dead.map(([, id]) => id)).to.deep.equal(ids);
    for (const fields of dead) {
      expect(fields).to.have.length(4);
      expect(fields[3]).to.contain('BODY_TOO_LARGE: an entry of ');
    }
    const warned = box.platform.events.since(0, 9).map(({ message }) => message);
    expect(warned.filter((message) => message.includes('went to "jobs:dead"'))).to.have.length(3);
  });

  it('holds no more bytes at once than it may, and calls all in the end', async () => {
    let runningBytes = 0;
    let most = 0;
    let ended = 0;
    await box.serve('work', (call, sink, timeline) => {
      runningBytes += call.body.length;
      most = Math.max(most, runningBytes);
      later(50, () => {
        runningBytes -= call.body.length;
        ended++;
        sink.onHead(200, {});
        sink.onEnd(timeline);
      });
    });
    for (let i = 0; i < 6; i++) await redis.xadd('jobs', '*', 'body', Buffer.alloc(4 * 2 ** 20));
    open({ parallel: 6 });
    await until(async () => ended === 6 && (await pending()) === 0);
    expect(most).to.equal(12 * 2 ** 20);
  });

  it('counts each field of an entry with what it takes, however short it is', async () => {
    let running = 0;
    let most = 0;
    let ended = 0;
    await box.serve('work', (_call, sink, timeline) => {
      most = Math.max(most, ++running);
      later(20, () => {
        running--;
        ended++;
        sink.onHead(200, {});
        sink.onEnd(timeline);
      });
    });
    const fields = new Array<string>(2 * QUEUE.entryFieldsMax).fill('a');
    for (let i = 0; i < 200; i++) await redis.xadd('jobs', '*', ...fields);
    open({ parallel: 200 });
    await until(async () => ended === 200 && (await pending()) === 0);
    expect(most).to.be.at.most(QUEUE.inFlightMaxBytes / (fields.length * QUEUE.fieldBytes));
  });

  it('calls what an agent that ended had taken', async () => {
    await redis.xgroup('CREATE', 'jobs', 'nemo', '0', 'MKSTREAM');
    const id = (await redis.xadd('jobs', '*', 'body', 'left'))!;
    const seen: string[] = [];
    let forget = (): void => undefined;
    await box.serve('work', (call, sink, timeline) => {
      seen.push(call.headers['x-nemo-entry']!);
      forget = () => sink.onError(new NemoError('STOPPING', 'the agent ended'), timeline);
    });
    const first = open();
    await until(() => seen.length === 1);
    // It ends without an answer to that call.
    sources.splice(0);
    const closing = first.close();
    await box.serve('work', (call, sink, timeline) => {
      seen.push(call.headers['x-nemo-entry']!);
      echo(call, sink, timeline);
    });
    open();
    await until(async () => (await pending()) === 0);
    expect(seen).to.deep.equal([id, id]);
    forget();
    await closing;
  });

  it('waits for its function, and for its server', async () => {
    open();
    await redis.xadd('jobs', '*', 'body', 'early');
    const seen: string[] = [];
    await box.serve('work', (call, sink, timeline) => {
      seen.push(call.body.toString());
      echo(call, sink, timeline);
    });
    await until(() => seen.length === 1);
    const port = Number(new URL(server.url).port);
    await server.stop('SIGKILL');
    await until(() =>
      box.platform.events.since(0, 9).some(({ message }) => message.includes('cannot be read')),
    );
    server = await startRedis(directory, undefined, port);
    if (redis.status !== 'ready') await once(redis, 'ready');
    await redis.xadd('jobs', '*', 'body', 'late');
    await until(() => seen.includes('late'));
    expect([seen[0], seen.at(-1)]).to.deep.equal(['early', 'late']);
  });
});
