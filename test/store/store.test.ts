import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { NemoError } from '../../src/model/errors.js';
import { openStore, type StoreConfig } from '../../src/store/open-store.js';
import { openRedisStore } from '../../src/store/redis.js';
import type { Lease, Store } from '../../src/store/store.js';
import { STORE } from '../../src/tunables/index.js';
import { freePort, type RedisServer, startRedis } from './redis-server.js';

async function rejection(work: Promise<unknown>): Promise<NemoError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).to.be.instanceOf(NemoError);
  return thrown as NemoError;
}

/** A list that can be waited for. */
class Seen<T> {
  readonly all: T[] = [];
  private wake = (): void => {};

  readonly add = (one: T): void => {
    this.all.push(one);
    this.wake();
  };

  async until(done: (all: readonly T[]) => boolean): Promise<void> {
    while (!done(this.all)) await new Promise<void>((resolve) => (this.wake = resolve));
  }
}

/** Tries until somebody else's has run out. */
async function leaseWhenFree(store: Store, name: string): Promise<Lease> {
  for (;;) {
    const lease = await store.lease(name, 60_000);
    if (lease !== undefined) return lease;
    await setImmediate();
  }
}

/** What every store does. */
function storeBehaviour(config: () => StoreConfig): void {
  let store: Store;
  const reopen = async (): Promise<void> => {
    await store.close();
    ({ store } = await openStore(config()));
  };

  before(async () => {
    ({ store } = await openStore(config()));
  });
  after(() => store.close());

  it('gives back what was put, and undefined for what was not', async () => {
    const value = { text: 'ü\u0000"', number: 1.5, list: [null, true, {}], empty: '' };
    await store.put('a', 'key', value);
    expect(await store.get('a', 'key')).to.deep.equal(value);
    expect(await store.get('a', 'other')).to.equal(undefined);
    expect(await store.get('nothing', 'key')).to.equal(undefined);
  });

  it('replaces', async () => {
    await store.put('a', 'key', 1);
    await store.put('a', 'key', 2);
    expect(await store.get('a', 'key')).to.equal(2);
  });

  it('deletes, and says whether there was a value', async () => {
    await store.put('a', 'gone', 1);
    expect(await store.delete('a', 'gone')).to.equal(true);
    expect(await store.delete('a', 'gone')).to.equal(false);
    expect(await store.get('a', 'gone')).to.equal(undefined);
  });

  it('lists one table and only it, ordered by key', async () => {
    for (const key of ['b', 'a-1', 'a', 'ä', 'B', '10', '9']) await store.put('list', key, { key });
    await store.put('list2', 'x', 1);
    await store.put('lis', 'x', 1);
    const pairs = await store.list<{ key: string }>('list');
    expect(pairs.map(({ key }) => key)).to.deep.equal(['10', '9', 'B', 'a', 'a-1', 'b', 'ä']);
    for (const { key, value } of pairs) expect(value).to.deep.equal({ key });
  });

  it('lists an empty table as empty', async () => {
    expect(await store.list('none')).to.deep.equal([]);
  });

  it('takes many puts at once and large values', async () => {
    const puts = Array.from({ length: 500 }, (_, i) => store.put('many', `k${i}`, i));
    await Promise.all(puts);
    expect(await store.list('many')).to.have.length(500);
    const large = 'x'.repeat(4 * 2 ** 20);
    await store.put('many', 'large', large);
    expect(await store.get('many', 'large')).to.equal(large);
  });

  it('replaces only what is still as it was', async () => {
    expect(await store.compareAndSet('cas', 'key', undefined, { n: 1, text: 'ü' })).to.equal(true);
    expect(await store.compareAndSet('cas', 'key', undefined, { n: 2 })).to.equal(false);
    expect(await store.compareAndSet('cas', 'key', { n: 2 }, { n: 3 })).to.equal(false);
    const before = await store.get('cas', 'key');
    expect(before).to.deep.equal({ n: 1, text: 'ü' });
    expect(await store.compareAndSet<unknown>('cas', 'key', before, { n: 4 })).to.equal(true);
    expect(await store.compareAndSet('cas', 'key', { n: 4 }, undefined)).to.equal(true);
    expect(await store.list('cas')).to.deep.equal([]);
  });

  it('lets one of many win that replace the same value at once', async () => {
    await store.put('cas', 'count', 0);
    const increment = async (): Promise<void> => {
      for (;;) {
        const before = (await store.get<number>('cas', 'count'))!;
        if (await store.compareAndSet('cas', 'count', before, before + 1)) return;
      }
    };
    await Promise.all(Array.from({ length: 20 }, increment));
    expect(await store.get('cas', 'count')).to.equal(20);
  });

  it('tells who watches a table what changed in it, until that stops', async () => {
    const seen = new Seen<string | undefined>();
    const stop = await store.watch('watched', seen.add);
    await store.put('other', 'elsewhere', 1);
    await store.put('watched', 'put', 1);
    await store.compareAndSet('watched', 'set', undefined, 1);
    await store.compareAndSet('watched', 'not', 2, 1);
    await store.delete('watched', 'put');
    await store.delete('watched', 'never');
    await store.put('watched', 'last', 1);
    await seen.until((all) => all.includes('last'));
    expect(seen.all).to.deep.equal(['put', 'set', 'put', 'last']);
    stop();
    const later = new Seen<string | undefined>();
    await store.watch('watched', later.add);
    await store.put('watched', 'later', 1);
    await later.until((all) => all.includes('later'));
    expect(seen.all).to.have.length(4);
  });

  it('gives a lease to one at a time, with a token that grows', async () => {
    const first = (await store.lease('one', 60_000))!;
    expect(await store.lease('one', 60_000)).to.equal(undefined);
    expect(await store.lease('another', 1)).to.not.equal(undefined);
    expect(await first.renew()).to.equal(true);
    await first.release();
    expect(await first.renew()).to.equal(false);
    const second = (await store.lease('one', 60_000))!;
    expect(second.token).to.be.greaterThan(first.token);
    await first.release();
    expect(await store.lease('one', 60_000)).to.equal(undefined);
    await second.release();
  });

  it('takes a lease from a holder whose time is over', async () => {
    const slow = (await store.lease('slow', 20))!;
    const next = await leaseWhenFree(store, 'slow');
    expect(next.token).to.be.greaterThan(slow.token);
    expect(await slow.renew()).to.equal(false);
    await slow.release();
    expect(await next.renew()).to.equal(true);
    await next.release();
  });

  it('has larger tokens after it was opened again', async () => {
    const before = (await store.lease('reopened', 60_000))!;
    await before.release();
    await reopen();
    expect((await store.lease('reopened', 1))!.token).to.be.greaterThan(before.token);
  });

  it('has everything when it is opened again', async () => {
    await store.put('a', 'kept', { yes: true });
    await reopen();
    expect(await store.get('a', 'kept')).to.deep.equal({ yes: true });
  });

  it('refuses work after it was closed, and closes twice', async () => {
    await store.close();
    await store.close();
    expect((await rejection(store.get('a', 'key'))).code).to.equal('STORE');
    expect((await rejection(store.put('a', 'key', 1))).code).to.equal('STORE');
    ({ store } = await openStore(config()));
  });
}

describe('stores', function () {
  this.timeout(20_000);
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nemo-store-'));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  describe('embedded', () => {
    storeBehaviour(() => ({ kind: 'embedded', directory: join(directory, 'lmdb') }));

    it('says which directory cannot be opened', async () => {
      const file = join(directory, 'a-file');
      await writeFile(file, 'not a directory');
      const error = await rejection(openStore({ kind: 'embedded', directory: join(file, 'below') }));
      expect(error.code).to.equal('STORE');
      expect(error.message).to.contain(file);
      expect(error.hint).to.be.a('string');
    });

    it('keeps every acknowledged put through kill -9', async () => {
      const child = fileURLToPath(new URL('./embedded-child.js', import.meta.url));
      const killed = join(directory, 'killed');
      let acknowledged = -1;
      for (let round = 0; round < 4; round++) {
        const from = acknowledged + 1;
        const process = spawn(globalThis.process.execPath, [child, killed, String(from)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const exited = once(process, 'exit');
        for await (const line of createInterface({ input: process.stdout })) {
          acknowledged = Number(line);
          if (acknowledged === from + 40 * (round + 1)) process.kill('SIGKILL');
        }
        expect((await exited)[1]).to.equal('SIGKILL');
        const { store } = await openStore({ kind: 'embedded', directory: killed });
        for (let i = 0; i <= acknowledged; i++) {
          const value = await store.get<{ i: number; padding: string }>('t', `key-${i}`);
          expect(value, `key-${i}`).to.deep.equal({ i, padding: 'x'.repeat(i % 3_000) });
        }
        await store.close();
      }
      expect(acknowledged).to.be.greaterThan(300);
    });
  });

  describe('redis', () => {
    let server: RedisServer;
    before(async () => {
      server = await startRedis(directory);
    });
    after(() => server.stop());

    storeBehaviour(() => ({ kind: 'redis', url: server.url }));

    it('lists the others where somebody wrote what is no JSON, or takes far more memory than it is long', async () => {
      const { store } = await openStore({ kind: 'redis', url: server.url });
      const other = new Redis(server.url);
      await store.put('shared', 'good', 1);
      await other.hset('nemo:shared', 'bad', '{');
      await other.hset('nemo:shared', 'crowd', `[${'{},'.repeat(100_000)}{}]`);
      await other.hset('nemo:shared', 'deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`);
      expect(await store.list('shared')).to.deep.equal([
        { key: 'bad', value: undefined },
        { key: 'crowd', value: undefined },
        { key: 'deep', value: undefined },
        { key: 'good', value: 1 },
      ]);
      other.disconnect();
      await store.close();
    });

    it('lists the others where somebody wrote what is too large, in name or value, and takes none of it', async () => {
      const { store } = await openStore({ kind: 'redis', url: server.url });
      const other = new Redis(server.url);
      await store.put('crowded', 'good', 1);
      await other.hset('nemo:crowded', 'large', `"${'x'.repeat(STORE.valueMaxBytes)}"`);
      await other.hset('nemo:crowded', 'n'.repeat(4 * STORE.nameMaxBytes), '1');
      for (let i = 0; i < 1_000; i++) void other.hset('nemo:crowded', `other-${i}`, i);
      await other.ping();
      const pairs = await store.list('crowded');
      expect(pairs).to.have.length(1_003);
      const values = new Map(pairs.map(({ key, value }) => [key, value]));
      expect(values.get('good')).to.equal(1);
      expect(values.get('other-999')).to.equal(999);
      expect(values.get('large')).to.equal(undefined);
      expect(values.get('n'.repeat(STORE.nameMaxBytes))).to.equal(undefined);
      expect(await store.get('crowded', 'large')).to.equal(null);
      const huge = 'x'.repeat(STORE.valueMaxBytes);
      expect((await rejection(store.put('crowded', 'mine', huge))).message).to.match(/too large/);
      other.disconnect();
      await store.close();
    });

    it('shares changes and leases with others on the same server', async () => {
      const { store } = await openStore({ kind: 'redis', url: server.url });
      const { store: other } = await openStore({ kind: 'redis', url: server.url });
      const seen = new Seen<string | undefined>();
      await other.watch('both', seen.add);
      await store.put('both', 'key', 1);
      await seen.until((all) => all.includes('key'));
      const lease = (await store.lease('both', 60_000))!;
      expect(await other.lease('both', 60_000)).to.equal(undefined);
      await lease.release();
      expect((await other.lease('both', 60_000))!.token).to.be.greaterThan(lease.token);
      await Promise.all([store.close(), other.close()]);
    });

    it('tells who watches that changes may have been missed while the connection was lost', async () => {
      const { store } = await openStore({ kind: 'redis', url: server.url });
      const seen = new Seen<string | undefined>();
      await store.watch('missed', seen.add);
      const admin = new Redis(server.url);
      await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      admin.disconnect();
      await seen.until((all) => all.includes(undefined));
      await store.put('missed', 'after', 1);
      await seen.until((all) => all.includes('after'));
      expect(seen.all.indexOf(undefined)).to.be.below(seen.all.indexOf('after'));
      await store.close();
    });

    it('writes for a user who may not publish', async () => {
      const admin = new Redis(server.url);
      await admin.call('ACL', 'SETUSER', 'quiet', 'on', '>secret', '~*', 'resetchannels', '+@all');
      admin.disconnect();
      const url = server.url.replace('//', '//quiet:secret@');
      const { store } = await openStore({ kind: 'redis', url });
      await store.put('quiet', 'key', 1);
      expect(await store.get('quiet', 'key')).to.equal(1);
      expect((await rejection(store.watch('quiet', () => {}))).message).to.match(/NOPERM|permission/);
      await store.close();
    });

    it('keeps every acknowledged put through kill -9 of the server, and comes back to it', async () => {
      const { store, warnings } = await openStore({ kind: 'redis', url: server.url });
      expect(warnings).to.deep.equal([]);
      for (let i = 0; i < 100; i++) await store.put('killed', `k${i}`, i);
      await server.stop('SIGKILL');
      const error = await rejection(store.get('killed', 'k1'));
      expect(error.code).to.equal('STORE');
      expect(error.message).to.contain(server.url);
      server = await startRedis(directory, undefined, Number(new URL(server.url).port));
      await store.put('killed', 'after', true);
      expect(await store.list('killed')).to.have.length(101);
      await store.close();
    });

    it('says in words that a server without an append-only file may lose functions', async () => {
      const volatileServer = await startRedis(directory, ['--appendonly', 'no']);
      const { store, warnings } = await openStore({ kind: 'redis', url: volatileServer.url });
      await store.close();
      await volatileServer.stop();
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.contain('append-only');
    });

    it('says where nobody answers, without the password', async () => {
      const port = await freePort();
      const error = await rejection(openRedisStore(`redis://:hunter2@127.0.0.1:${port}`));
      expect(error.code).to.equal('STORE');
      expect(error.message).to.contain(`127.0.0.1:${port}`).and.contain('ECONNREFUSED');
      expect(JSON.stringify(error)).to.not.contain('hunter2');
    });

    it('says that a password is wrong', async () => {
      const locked = await startRedis(directory, ['--requirepass', 'right', '--appendonly', 'no']);
      const error = await rejection(openRedisStore(locked.url.replace('//', '//:wrong@')));
      await locked.stop();
      expect(error.code).to.equal('STORE');
      expect(error.message).to.match(/password|WRONGPASS/i);
    });
  });
});
