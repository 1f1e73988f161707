/**
 * Replies of Redis 6.2 to 8 that a healthy server of one's own never gives (redis.io: RESP protocol spec; each command's
 * page; src/server.c, createSharedObjects), by a scripted server; the real Redis is in test/store and test/triggers. Each is
 * borne: the queue waits and comes back, calls each entry once and loses none; the store's call fails with a clear error.
 */

import { expect } from 'chai';
import type { NemoError } from '../../src/model/errors.js';
import { openRedisStore } from '../../src/store/redis.js';
import { RedisStreamSource } from '../../src/triggers/redis-stream.js';
import { echo, startBox, type TestBox } from '../gateway/in-process-platform.js';
import { error, reply, type Script, ScriptedRedis } from '../support/scripted-redis.js';
import { until } from '../support/waiting.js';

/** After an error the next command to the same stream comes this much later at least: never a hot loop. */
const PAUSE_MIN_MS = 100;
/** How often what goes wrong does so. */
const TIMES = 2;

/** What Redis says, as it stands in src/server.c, and what NEMO's message has beside it. */
const ERRORS: Array<[said: string, advises: RegExp]> = [
  ['NOAUTH Authentication required.', /NOAUTH.*password/],
  ['WRONGPASS invalid username-password pair or user is disabled.', /WRONGPASS.*password/],
  ["NOPERM User app has no permissions to run the 'eval' command", /NOPERM.*ACL/],
  ['LOADING Redis is loading the dataset in memory', /LOADING.*by itself/],
  ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", /MASTERDOWN.*primary/],
  ["READONLY You can't write against a read only replica.", /READONLY.*primary/],
  ["OOM command not allowed when used memory > 'maxmemory'.", /OOM.*maxmemory/],
  [
    'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.',
    /MISCONF.*disk/,
  ],
  ['NOREPLICAS Not enough good replicas to write.', /NOREPLICAS/],
  ['BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.', /BUSY/],
  ['MOVED 3999 127.0.0.1:6381', /MOVED.*cluster/],
  ['ASK 3999 127.0.0.1:6381', /ASK.*cluster/],
  ['CLUSTERDOWN The cluster is down', /CLUSTERDOWN.*cluster/],
  ["CROSSSLOT Keys in request don't hash to the same slot", /CROSSSLOT.*cluster/],
  ['TRYAGAIN Multiple keys request during rehashing of slot', /TRYAGAIN.*cluster/],
  ['UNBLOCKED the stream key no longer exists', /UNBLOCKED/],
  ["ERR unknown command 'XAUTOCLAIM', with args beginning with: ", /unknown command/],
];

const first =
  (command: string, said: string, times = TIMES): Script =>
  (heard, nth) =>
    heard === command && nth <= times ? said : undefined;

interface Row {
  what: string;
  version?: string;
  script: Script;
  /** In its one warning; undefined: there is none. */
  warns?: RegExp;
  /** Commands of which none follows another sooner than a pause. */
  paced?: string;
}

const ROWS: Row[] = [
  ...ERRORS.map(
    ([said, warns]): Row => ({
      what: `taking entries: ${said}`,
      script: first('EVAL', error(said)),
      warns,
      paced: 'EVAL',
    }),
  ),
  ...ERRORS.map(
    ([said, warns]): Row => ({
      what: `acknowledging: ${said}`,
      script: first('XACK', error(said)),
      warns,
      paced: 'XACK',
    }),
  ),
  {
    what: 'EXECABORT: a transaction that is discarded',
    script: first('EXEC', error('EXECABORT Transaction discarded because of previous errors.')),
    warns: /EXECABORT/,
    paced: 'EXEC',
  },
  { what: 'EXEC that answers null', script: first('EXEC', '*-1\r\n'), warns: /./, paced: 'EXEC' },
  {
    what: 'NOGROUP: the group is made',
    script: first('EVAL', error("NOGROUP No such key 's' or consumer group 'nemo'"), 1),
  },
  {
    what: 'NOGROUP of XPENDING',
    script: first('XPENDING', error("NOGROUP No such key 's' or consumer group 'nemo'"), 1),
  },
  {
    what: 'BUSYGROUP: another box made the group meanwhile',
    script: (command, nth) => {
      if (command === 'EVAL' && nth === 1) return error("NOGROUP No such key 's' or consumer group 'nemo'");
      return command === 'XGROUP' ? error('BUSYGROUP Consumer Group name already exists') : undefined;
    },
  },
  {
    what: 'XAUTOCLAIM of 6.2: two elements',
    version: '6.2.14',
    script: first('XAUTOCLAIM', reply(['0-0', ['1-0']]), 1),
  },
  { what: 'XAUTOCLAIM of 7: three elements', script: first('XAUTOCLAIM', reply(['0-0', ['1-0'], []]), 1) },
  {
    what: 'XAUTOCLAIM of 7: an entry that was deleted',
    script: first('XAUTOCLAIM', reply(['0-0', [], ['1-0']]), 1),
  },
  { what: 'XREADGROUP: null, no entries', script: first('EVAL', '*-1\r\n', 1) },
  { what: 'XREADGROUP: null of RESP3', script: first('EVAL', '_\r\n', 1) },
  {
    what: 'XCLAIM of 6.2: null for a deleted entry',
    version: '6.2.14',
    script: first('EVAL', '*2\r\n*1\r\n*-1\r\n:1\r\n', 1),
  },
  {
    what: 'an entry without fields',
    script: first('EVAL', '*2\r\n*1\r\n*2\r\n$3\r\n0-1\r\n*-1\r\n:1\r\n', 1),
  },
  {
    what: 'XPENDING of an entry that is gone',
    script: (command, _nth, args) => (command === 'XPENDING' && args[2] === '1-0' ? reply([]) : undefined),
  },
];

describe('conformance: replies of Redis 6.2 to 8', () => {
  describe('the queue', function () {
    this.timeout(30_000);
    let box: TestBox;
    const servers = new Map<string, ScriptedRedis>();
    const sources: RedisStreamSource[] = [];
    const called = new Map<string, number>();

    before(async () => {
      box = await startBox();
      await box.serve('work', (call, sink, timeline) => {
        const stream = call.body.toString();
        called.set(stream, (called.get(stream) ?? 0) + 1);
        echo(call, sink, timeline);
      });
      // All at once: each waits for its own.
      for (const [i, { script, version = '7.0.15' }] of ROWS.entries()) {
        const server = servers.get(version) ?? (await ScriptedRedis.start());
        server.version = version;
        servers.set(version, server);
        server.scripts.set(`row-${i}`, script);
        const config = { url: server.url, stream: `row-${i}`, function: 'work' };
        sources.push(new RedisStreamSource(config, 'test', box.platform));
      }
    });
    after(async () => {
      await Promise.all(sources.map((source) => source.close()));
      await Promise.all([...servers.values()].map((server) => server.close()));
      await box.close();
    });

    for (const [i, { what, version = '7.0.15', warns, paced }] of ROWS.entries()) {
      it(what, async () => {
        const stream = `row-${i}`;
        const server = servers.get(version)!;
        await until(() => server.streams.get(stream)?.acked === true);
        expect(called.get(stream), 'calls').to.equal(1);
        const heard = server.heard.get(stream)!;
        expect(heard.filter(({ command }) => command === 'XADD')).to.deep.equal([]);
        const warnings = box.platform.events
          .since(0, 1000)
          .filter(({ kind, message }) => kind === 'warning' && message.includes(`"${stream}"`));
        expect(warnings.length, JSON.stringify(warnings)).to.equal(warns === undefined ? 0 : 1);
        if (warns !== undefined) expect(warnings[0]!.message).to.match(warns);
        if (paced === undefined) return;
        const times = heard.filter(({ command }) => command === paced).map(({ atMs }) => atMs);
        for (let n = 1; n <= TIMES; n++) expect(times[n]! - times[n - 1]!).to.be.at.least(PAUSE_MIN_MS);
      });
    }
  });

  describe('the store', () => {
    let server: ScriptedRedis;
    before(async () => {
      server = await ScriptedRedis.start();
    });
    after(() => server.close());
    afterEach(() => {
      server.connection = () => undefined;
      server.scripts.clear();
      server.heard.clear();
    });
    const failure = (work: Promise<unknown>): Promise<NemoError> =>
      work.then(
        () => expect.fail('it did not fail'),
        (thrown) => thrown as NemoError,
      );

    it('each error of a command is told with the way out, and the next one goes well', async () => {
      const store = await openRedisStore(server.url);
      try {
        for (const [i, [said, advises]] of ERRORS.entries()) {
          server.scripts.set(`nemo:t${i}`, first('EVAL', error(said), 1));
          const told = await failure(store.put(`t${i}`, 'key', 1));
          expect(told.code, said).to.equal('STORE');
          expect(`${told.message}; ${told.hint}`).to.match(advises);
          await store.put(`t${i}`, 'key', 1);
        }
      } finally {
        await store.close();
      }
    });

    for (const [what, connection, says] of [
      [
        'HELLO with a wrong password',
        (command) =>
          command === 'HELLO' || command === 'AUTH'
            ? error('WRONGPASS invalid username-password pair or user is disabled.')
            : error('NOAUTH Authentication required.'),
        /WRONGPASS|NOAUTH/,
      ],
      ['a password that is missing', () => error('NOAUTH Authentication required.'), /NOAUTH.*password/],
    ] as Array<[string, Script, RegExp]>) {
      it(`at the start: ${what}`, async () => {
        server.connection = connection;
        const told = await failure(openRedisStore(server.url));
        expect(told.code).to.equal('STORE');
        expect(`${told.message}; ${told.hint}`).to.match(says);
      });
    }

    for (const [what, connection] of [
      ['a server without HELLO (before 6, proxies)', first('HELLO', error("ERR unknown command 'HELLO'"))],
      [
        'NOPROTO: a server that speaks RESP2 alone',
        first('HELLO', error('NOPROTO unsupported protocol version')),
      ],
      [
        'a server without CLIENT SETINFO (before 7.2)',
        (command) =>
          command === 'CLIENT'
            ? error("ERR Unknown subcommand or wrong number of arguments for 'SETINFO'")
            : undefined,
      ],
      [
        'a server that forbids CONFIG',
        (command) =>
          command === 'CONFIG'
            ? error("NOPERM User app has no permissions to run the 'config|get' command")
            : undefined,
      ],
      [
        'a server that forbids INFO',
        (command) =>
          command === 'INFO'
            ? error("NOPERM User app has no permissions to run the 'info' command")
            : undefined,
      ],
      ['HELLO of RESP3: a map', first('HELLO', '%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n')],
      ['HELLO of RESP2: a list', first('HELLO', reply(['server', 'redis', 'proto', 2]))],
    ] as Array<[string, Script]>) {
      it(`goes on with ${what}`, async () => {
        server.connection = connection;
        const store = await openRedisStore(server.url);
        expect(await store.get('t', 'key')).to.equal(1);
        await store.close();
      });
    }
  });
});
