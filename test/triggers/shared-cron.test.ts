import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openRedisStore } from '../../src/store/redis.js';
import type { Store } from '../../src/store/store.js';
import { createCronTriggers } from '../../src/triggers/cron.js';
import { claimRun } from '../../src/triggers/shared-turns.js';
import { CRON } from '../../src/tunables/index.js';
import { echo, startBox } from '../gateway/in-process-platform.js';
import { type RedisServer, startRedis } from '../store/redis-server.js';

describe('cron on boxes that share a store', () => {
  let directory: string;
  let server: RedisServer;
  let stores: Store[];
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nemo-cron-'));
    server = await startRedis(directory, ['--appendonly', 'no']);
    stores = await Promise.all([1, 2].map(() => openRedisStore(server.url)));
  });
  after(async () => {
    for (const store of stores) await store.close();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('gives each turn to one of them', async () => {
    const turns = [1000, 2000, 3000];
    for (const dueMs of turns) {
      const asked = [...stores, ...stores, ...stores].map((store) => claimRun(store, 'f', dueMs));
      expect((await Promise.all(asked)).filter((ours) => ours)).to.have.length(1);
    }
    expect(await claimRun(stores[0]!, 'f', 2000), 'a box whose clock is slow').to.equal(false);
    expect(await claimRun(stores[1]!, 'g', 2000), 'another function').to.equal(true);
  });

  it('believes clocks that were set back by hours', async () => {
    const laterMs = 10 * CRON.setBackMs;
    expect(await claimRun(stores[0]!, 'back', laterMs)).to.equal(true);
    expect(await claimRun(stores[1]!, 'back', laterMs - CRON.setBackMs)).to.equal(false);
    expect(await claimRun(stores[1]!, 'back', laterMs - CRON.setBackMs - 1)).to.equal(true);
  });

  it('calls by the clock once, not once a box', async () => {
    const boxes = await Promise.all([startBox(), startBox()]);
    let calls = 0;
    const won: number[] = [];
    const both = new Map<number, number>();
    let enough = (): void => {};
    const seen = new Promise<void>((resolve) => (enough = resolve));
    const crons = await Promise.all(
      boxes.map(async (box, i) => {
        await box.serve('tick', (...call) => {
          calls++;
          echo(...call);
        });
        await box.platform.registry.deploy({
          name: 'tick',
          code: 'export default 1',
          schedule: '* * * * * *',
        });
        const store = Object.assign(Object.create(stores[i]!) as Store, {
          async compareAndSet<T>(table: string, key: string, before: T, next: T) {
            const done = await stores[i]!.compareAndSet(table, key, before, next);
            if (done) won.push(next as number);
            return done;
          },
          async get<T>(table: string, key: string) {
            const dueMs = Math.floor(Date.now() / 1000);
            both.set(dueMs, (both.get(dueMs) ?? 0) + 1);
            if ([...both.values()].filter((boxes) => boxes === 2).length === 2) enough();
            return stores[i]!.get<T>(table, key);
          },
        });
        return createCronTriggers(box.platform, store);
      }),
    );
    await seen;
    for (const cron of crons) await cron.close();
    // What was asked for is answered before this is.
    for (const store of stores) await store.get('cron', 'tick');
    expect(new Set(won).size).to.equal(won.length);
    expect(calls).to.be.greaterThan(0).and.at.most(won.length);
    for (const box of boxes) await box.close();
  });
});
