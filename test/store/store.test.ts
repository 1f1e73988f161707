import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { NemoError } from '../../src/errors.js';
import { openStore, type StoreConfig } from '../../src/store/open-store.js';
import { openRedisStore } from '../../src/store/redis.js';
import type { Store } from '../../src/store/store.js';
import { STORE } from '../../src/tunables.js';
import { freePort, type RedisServer, startRedis } from './redis-server.js';

async function rejection(work: Promise<unknown>): Promise<NemoError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).to.be.instanceOf(NemoError);
  return thrown as NemoError;
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
      expect((await rejection(store.get('crowded', 'large'))).message).to.match(/too large/);
      const huge = 'x'.repeat(STORE.valueMaxBytes);
      expect((await rejection(store.put('crowded', 'mine', huge))).message).to.match(/too large/);
      other.disconnect();
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
