/** Boundary: what a Redis server says. Attacker: who runs it, or stands between it and the box. */

import { expect } from 'chai';
import type { NemoError } from '../../src/model/errors.js';
import { openRedisStore } from '../../src/store/redis.js';
import { ReplyBounds } from '../../src/store/redis-replies.js';
import { RedisQueue } from '../../src/triggers/redis-queue.js';
import { REDIS } from '../../src/tunables/index.js';
import { reply, ScriptedRedis } from '../support/scripted-redis.js';
import { until } from '../support/waiting.js';

const EVERY = /^(SUBSCRIBE|EVAL|XPENDING|XAUTOCLAIM)$/;
const subscribed = reply(['subscribe', 'nemo:table:changed', 1]);

/** What is said in place of an answer, and to which commands. */
const LIES: Array<[what: string, to: RegExp, said: string]> = [
  ['nothing where a subscription is confirmed', /^SUBSCRIBE$/, reply(null)],
  ['a number where a subscription is confirmed', /^SUBSCRIBE$/, reply(1)],
  ['a message of no kind behind a subscription', /^SUBSCRIBE$/, subscribed + reply([null])],
  [
    'a message on no channel behind a subscription',
    /^SUBSCRIBE$/,
    subscribed + reply(['message', null, 'x']),
  ],
  ['a push of no kind', EVERY, `${reply(1)}>1\r\n_\r\n`],
  ['more answers than were asked for, one of them nothing', EVERY, reply(1) + reply(null)],
  ['answers without end', EVERY, '+OK\r\n'.repeat(100_000)],
  ['lists that claim millions of values', EVERY, '*33000000\r\n'.repeat(400)],
  ['lists in lists', EVERY, '*1\r\n'.repeat(200_000)],
  ['a list longer than any', EVERY, '*99999999999\r\n'],
  ['a value longer than any', EVERY, '$99999999999\r\nx'],
  ['values of no length', EVERY, '$-7\r\n*-7\r\n'],
  ['a type that is not known', EVERY, '|1\r\n'],
  ['a page of a web server', EVERY, 'HTTP/1.1 400 Bad Request\r\n\r\n'],
];

describe('escape: a Redis server that lies', function () {
  this.timeout(30_000);
  let redis: ScriptedRedis;
  let lie: (command: string) => string | undefined = () => undefined;
  before(async () => {
    redis = await ScriptedRedis.start();
    redis.connection = (command) => lie(command) ?? (command === 'SUBSCRIBE' ? subscribed : undefined);
    for (const key of ['nemo:table', 'stream']) redis.scripts.set(key, (command) => lie(command));
  });
  after(() => redis.close());

  for (const [what, to, said] of LIES) {
    it(`ends nothing by ${what}`, async () => {
      const store = await openRedisStore(redis.url);
      const warnings: string[] = [];
      const queue = new RedisQueue({
        ...{ url: redis.url, stream: 'stream', group: 'nemo', consumer: 'c', replies: undefined },
        onWarning: (message) => void warnings.push(message),
      });
      const take = () => queue.take({ places: 1, roomBytes: 16 * 2 ** 20, callMaxMs: 1_000 });
      lie = (command) => (to.test(command) ? said : undefined);
      const ends = await Promise.allSettled([
        store.get('table', 'key'),
        store.watch('table', () => {}),
        take(),
      ]);
      for (const end of ends.slice(0, 2)) {
        expect(end.status === 'rejected' ? (end.reason as NemoError).code : 'STORE').to.equal('STORE');
      }
      lie = () => undefined;
      await until(() =>
        store.get('table', 'key').then(
          () => true,
          () => false,
        ),
      );
      await until(() =>
        take().then(
          () => true,
          () => false,
        ),
      );
      queue.stop();
      queue.close();
      await store.close();
    });
  }

  it('has its replies bounded in bytes, in values and in depth, however they are cut', () => {
    const { maxBytes, valuesMax, depthMax } = REDIS.reply;
    const refused = (text: string, pieces = 1): boolean => {
      const bounds = new ReplyBounds();
      const bytes = Buffer.from(text, 'latin1');
      const size = Math.ceil(bytes.length / pieces);
      try {
        for (let at = 0; at < bytes.length; at += size) bounds.take(bytes.subarray(at, at + size));
        return false;
      } catch {
        return true;
      }
    };
    const map = `%1\r\n${reply('a')},1.5e3\r\n`;
    const good = [
      reply([1, 'two', null, [reply('a')]]),
      '+OK\r\n',
      '-ERR no\r\n',
      map,
      '#t\r\n_\r\n',
      '=5\r\ntxt:a\r\n',
    ];
    for (const pieces of [1, 2, 7, 1000]) {
      for (const text of good) expect(refused(text.repeat(3), pieces), text).to.equal(false);
    }
    expect(refused(`*2\r\n$${maxBytes / 2}\r\n${'x'.repeat(maxBytes / 2)}\r\n$${maxBytes / 2}\r\n`)).to.equal(
      true,
    );
    // Without the rest of the line break, too: the library makes room before it comes.
    for (const text of [`*${valuesMax + 1}\r\n`, `*${valuesMax + 1}\r`])
      expect(refused(text), text).to.equal(true);
    expect(
      refused(`*2\r\n*${valuesMax / 2}\r\n${':1\r\n'.repeat(valuesMax / 2)}*${valuesMax / 2}\r\n`),
    ).to.equal(true);
    expect(refused('*1\r\n'.repeat(depthMax + 1))).to.equal(true);
    for (const text of [
      '*?\r\n',
      '$1\n\r\n',
      '+a\rb\r\n',
      ':1x\r\n',
      '=1\r\nx\r\n',
      '*1\r\n>1\r\n',
      `(${'1'.repeat(200)}`,
    ]) {
      expect(refused(text), text).to.equal(true);
    }
    expect(refused(`+${'x'.repeat(REDIS.reply.lineMaxBytes)}`, 100)).to.equal(true);
  });
});
