/** Boundary: a Redis that boxes share. Attacker: who else may write there, or keeps the server busy. */

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { Engines } from '../../src/engine/engines.js';
import type { FunctionSpec } from '../../src/model/function.js';
import { createRegistry } from '../../src/provision/registry.js';
import { type StoredSpec, toStored } from '../../src/provision/stored-spec.js';
import { openRedisStore, type RedisStore } from '../../src/store/redis.js';
import { claimRun } from '../../src/triggers/shared-turns.js';
import { FUNCTION_LIMITS } from '../../src/tunables/index.js';
import { esbuildPrepare } from '../gateway/in-process-platform.js';
import { type RedisServer, startRedis } from '../store/redis-server.js';
import { until } from '../support/waiting.js';

describe('escape: a store that boxes share', function () {
  this.timeout(30_000);
  let directory: string;
  let server: RedisServer;
  let store: RedisStore;
  let other: Redis;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nemo-escape-redis-'));
    server = await startRedis(directory, ['--appendonly', 'no']);
    other = new Redis(server.url);
    store = await openRedisStore(server.url);
  });
  afterEach(() => other.flushall());
  after(async () => {
    await store.close();
    other.disconnect();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('is watched again when Redis takes the subscription again, and nothing ends while it does not', async () => {
    // What Redis answers to a connection that comes back is what counts: as to one that comes while a script runs.
    const rights = ['watcher', 'on', '>secret', '~*', '+@all'];
    await other.call('ACL', 'SETUSER', ...rights, 'allchannels');
    const watching = await openRedisStore(server.url.replace('//', '//watcher:secret@'));
    const unhandled: unknown[] = [];
    const hear = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', hear);
    const heard: Array<string | undefined> = [];
    await watching.watch('table', (key) => void heard.push(key));
    const refused = refusals(other);
    await other.call('ACL', 'SETUSER', ...rights, 'resetchannels');
    await other.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await refused;
    await other.call('ACL', 'SETUSER', ...rights, 'allchannels');
    await until(() => heard.includes(undefined));
    process.off('unhandledRejection', hear);
    expect(unhandled).to.deep.equal([]);
    await watching.put('table', 'after', 1);
    await until(() => heard.includes('after'));
    await watching.close();
  });

  it('gives no value that takes far more memory than it is long', async () => {
    await other.hset('nemo:table', 'crowd', `[${'{},'.repeat(100_000)}{}]`);
    await other.hset('nemo:table', 'deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    for (const key of ['crowd', 'deep']) expect(await store.get('table', key), key).to.equal(null);
  });

  it('does not say in an error what stands in a value', async () => {
    await other.hset('nemo:table', 'broken', '{"env":{"KEY":secret-1}}');
    const told = await store.get('table', 'broken').then(JSON.stringify, String);
    expect(told).not.to.contain('secret');
  });

  for (const value of [' {"a" : 1}', '1e30', '{', '[[', '"1\\u0032"', '{"a":1,"a":2}']) {
    it(`calls by the clock although ${JSON.stringify(value)} stands where the last turn should`, async () => {
      await other.hset('nemo:cron', 'f', value);
      expect(await claimRun(store, 'f', 1_000)).to.equal(true);
      expect(await claimRun(store, 'f', 1_000)).to.equal(false);
    });
  }

  it('takes a deploy although somebody wrote its spec in another way', async () => {
    const registry = await createRegistry({
      ...{ store, bundleDir: join(directory, 'bundles'), prepare: esbuildPrepare },
    });
    await registry.deploy({ name: 'f', code: 'export default 1' });
    const before = registry.get('f')!.codeHash;
    await other.hset('nemo:functions', 'f', ` ${await other.hget('nemo:functions', 'f')}`);
    await registry.deploy({ name: 'f', code: 'export default 2' });
    expect(registry.get('f')!.codeHash).to.not.equal(before);
    await registry.close();
  });

  it('takes deploys although somebody wrote the last number that a version may have', async () => {
    const options = { store, bundleDir: join(directory, 'bundles'), prepare: esbuildPrepare };
    const registry = await createRegistry(options);
    await registry.deploy({ name: 'f', code: 'export default 1' });
    const stored = JSON.parse((await other.hget('nemo:functions', 'f'))!) as StoredSpec;
    await other.hset('nemo:functions', 'f', JSON.stringify({ ...stored, version: Number.MAX_SAFE_INTEGER }));
    for (const code of ['export default 2', 'export default 3']) await registry.deploy({ name: 'f', code });
    await registry.close();
    const again = await createRegistry(options);
    expect([again.warnings, again.get('f')?.codeHash]).to.deep.equal([[], registry.get('f')!.codeHash]);
    await again.close();
  });

  for (const [what, over] of [
    ['an engine of another version', { engine: 'later' }],
    ['an engine that does not run what it is made of', { source: { kind: 'wasm' } }],
    ['a network that its engine does not give', { egress: ['example.org:443'] }],
  ] as const) {
    it(`does not take a function with ${what}: nothing could start it`, async () => {
      const engine = { kind: 'process', about: '', runs: ['module'] as const };
      const engines = new Engines([{ ...engine, open: () => Promise.reject(new Error('not asked for')) }]);
      const bundleDir = join(directory, 'engines');
      const runs = (spec: FunctionSpec): boolean => engines.runs(spec);
      const registry = await createRegistry({ store, bundleDir, prepare: esbuildPrepare, runs });
      await registry.deploy({ name: 'f', code: 'export default 1' });
      await registry.close();
      const stored = JSON.parse((await other.hget('nemo:functions', 'f'))!) as StoredSpec;
      await other.hset('nemo:functions', 'f', JSON.stringify({ ...stored, ...over }));
      const again = await createRegistry({ store, bundleDir, prepare: esbuildPrepare, runs });
      expect(again.get('f')).to.equal(undefined);
      expect(again.warnings.join()).to.contain('this agent does not run');
      await again.close();
    });
  }

  for (const [what, tamper] of [
    ['does not end', () => other.set('nemo:lease:deploys', 'x')],
    ['ends in a year', () => other.set('nemo:lease:deploys', 'x', 'EX', 365 * 86_400)],
    ['has no next token', () => other.hset('nemo:lease-tokens', 'deploys', '9223372036854775807')],
    ['has a token that no number here is', () => other.hset('nemo:lease-tokens', 'deploys', `${2n ** 62n}`)],
    ['has text for a token', () => other.hset('nemo:lease-tokens', 'deploys', 'x')],
    ['has no table of tokens', () => other.set('nemo:lease-tokens', 'x')],
  ] as const) {
    it(`gives a lease that ${what}`, async () => {
      await tamper();
      const lease = await store.lease('deploys', 10_000);
      expect(await lease!.renew()).to.equal(true);
      await lease!.release();
      expect(await store.lease('deploys', 10_000)).not.to.equal(undefined);
    });
  }

  it('warns of what is no function a few times, however often somebody writes it', async () => {
    const warned: string[] = [];
    const registry = await createRegistry({
      ...{ store, bundleDir: join(directory, 'warned'), prepare: esbuildPrepare },
      onWarning: (message) => void warned.push(message),
    });
    const { spec } = await registry.deploy({ name: 'f', code: 'export default 1' });
    const heard = new Promise<string>((resolve) => {
      registry.onChange((name) => name === 'z' && resolve(name));
    });
    const junk = Array.from({ length: 200 }, (_, i) => [`a${i}`, '{"updatedAt":"now"}']).flat();
    await other.hset('nemo:functions', ...junk, 'z', JSON.stringify({ ...toStored(spec), name: 'z' }));
    await other.publish('nemo:functions:changed', 'x'.repeat(2_000));
    await heard;
    expect(warned).to.have.length(FUNCTION_LIMITS.restoreWarningsMax);
    await registry.close();
  });

  it('leaves no code on the disk of functions that lack some of it', async () => {
    const bundleDir = join(directory, 'lacking');
    let warn = (_message: string): void => {};
    const warned = new Promise<string>((resolve) => (warn = resolve));
    const registry = await createRegistry({
      ...{ store, bundleDir, prepare: esbuildPrepare, bundleGraceMs: 50 },
      onWarning: (message) => warn(message),
    });
    const { spec } = await registry.deploy({ name: 'f', code: 'export default 1' });
    const content = Buffer.from('export default 2');
    const codeHash = createHash('sha256').update(content).digest('hex');
    const part = JSON.stringify({ parts: 1, base64: content.toString('base64') });
    const packages = [{ hash: '0'.repeat(64), name: 'away', bytes: 1, entries: ['a.mjs'] }];
    await other.hset('nemo:blocks', `${codeHash}/0`, part);
    await other.hset(
      'nemo:functions',
      'z',
      JSON.stringify({ ...toStored(spec), name: 'z', codeHash, packages }),
    );
    await other.publish('nemo:functions:changed', 'z');
    expect(await warned).to.contain("'z'");
    await until(async () => (await readdir(bundleDir)).length <= 1);
    expect(await readdir(bundleDir)).to.deep.equal([`${spec.codeHash}.mjs`]);
    await registry.close();
  });

  it('tells of a function although what it has of another cannot be read', async () => {
    const registry = await createRegistry({
      ...{ store, bundleDir: join(directory, 'follower'), prepare: esbuildPrepare },
    });
    await registry.deploy({ name: 'f', code: 'export default 1' });
    const stored = JSON.parse((await other.hget('nemo:functions', 'f'))!) as StoredSpec;
    const heard = new Promise<string>((resolve) => {
      registry.onChange((name) => name === 'z' && resolve(name));
    });
    await other.hset('nemo:functions', 'a', '{', 'z', JSON.stringify({ ...stored, name: 'z' }));
    // That is no name of a function, so all are looked at.
    await other.publish('nemo:functions:changed', 'x'.repeat(2_000));
    expect(await heard).to.equal('z');
    await registry.close();
  });
});

/** Resolves when Redis has refused somebody a channel. */
async function refusals(redis: Redis): Promise<void> {
  await redis.call('ACL', 'LOG', 'RESET');
  await until(async () => {
    const log = (await redis.call('ACL', 'LOG')) as unknown[][];
    return log.some((entry) => entry.includes('channel'));
  });
}
