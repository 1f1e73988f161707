/** Boxes that share a Redis, each with its own directory. */

import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import type { FunctionSpec } from '../../src/model/function.js';
import { createRegistry, type StoredRegistry } from '../../src/provision/registry.js';
import { toStored } from '../../src/provision/stored-spec.js';
import { openRedisStore, type RedisStore } from '../../src/store/redis.js';
import { BLOCKS } from '../../src/tunables/index.js';
import { esbuildPrepare } from '../gateway/in-process-platform.js';
import { type RedisServer, startRedis } from '../store/redis-server.js';

interface Box {
  registry: StoredRegistry;
  store: RedisStore;
  bundleDir: string;
  warned: string[];
  /** The next change of that function that this box hears of. */
  next(name: string): Promise<FunctionSpec | undefined>;
  close(): Promise<void>;
}

describe('a registry that boxes share', () => {
  let directory: string;
  let server: RedisServer;
  const boxes: Box[] = [];

  const open = async (name: string, bundleGraceMs = 60_000): Promise<Box> => {
    const store = await openRedisStore(server.url);
    const bundleDir = join(directory, name, 'bundles');
    const warned: string[] = [];
    const registry = await createRegistry({
      ...{ store, bundleDir, prepare: esbuildPrepare, bundleGraceMs },
      onWarning: (message) => void warned.push(message),
    });
    const waiting: Array<{ name: string; resolve: (spec: FunctionSpec | undefined) => void }> = [];
    registry.onChange((changed, spec) => {
      for (const one of waiting.splice(0)) {
        if (one.name === changed) one.resolve(spec);
        else waiting.push(one);
      }
    });
    const box: Box = {
      ...{ registry, store, bundleDir, warned },
      next: (of) => new Promise((resolve) => waiting.push({ name: of, resolve })),
      async close() {
        await registry.close();
        await store.close();
      },
    };
    boxes.push(box);
    return box;
  };

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nemo-shared-'));
    server = await startRedis(directory, ['--appendonly', 'no']);
  });
  afterEach(async () => {
    for (const box of boxes.splice(0)) await box.close();
    const admin = new Redis(server.url);
    await admin.flushall();
    admin.disconnect();
  });
  after(async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const code = (text: string): string => `export default () => '${text}';`;

  it('has on a second box what the first one deployed before, with its code', async () => {
    const first = await open('before-1');
    const { spec } = await first.registry.deploy({ name: 'f', code: code('one') });
    const second = await open('before-2');
    expect(second.registry.warnings).to.deep.equal([]);
    expect(second.registry.get('f')).to.deep.equal(spec);
    expect(await readFile(second.registry.bundlePath(spec), 'utf8')).to.contain("'one'".replaceAll("'", '"'));
  });

  it('follows what others deploy, replace and remove', async () => {
    const [first, second] = [await open('live-1'), await open('live-2')];
    let heard = second.next('f');
    const { spec } = await first.registry.deploy({ name: 'f', code: code('one') });
    expect(await heard).to.deep.equal(spec);
    heard = first.next('f');
    const replaced = await second.registry.deploy({ name: 'f', code: code('two') });
    expect(replaced.created).to.equal(false);
    expect((await heard)?.codeHash).to.equal(replaced.spec.codeHash);
    expect(await readFile(first.registry.bundlePath(replaced.spec), 'utf8')).to.contain('two');
    heard = second.next('f');
    await first.registry.remove('f');
    expect(await heard).to.equal(undefined);
    expect(second.registry.list()).to.deep.equal([]);
    expect([...first.warned, ...second.warned]).to.deep.equal([]);
  });

  it('lets many boxes deploy at once, one after the other, and all end with the same', async () => {
    const [first, second] = [await open('many-1'), await open('many-2')];
    const last = (box: Box) => box.next('end');
    const deploys = Array.from({ length: 8 }, (_, i) =>
      (i % 2 === 0 ? first : second).registry.deploy({ name: `f${i % 3}`, code: code(`${i}`) }),
    );
    await Promise.all(deploys);
    const heard = last(second);
    await first.registry.deploy({ name: 'end', code: code('end') });
    await heard;
    await Promise.all([first, second].map(({ registry }) => registry.deploy({ name: 'x', code: code('x') })));
    const names = ['end', 'f0', 'f1', 'f2'];
    const hashes = ({ registry }: Box) => names.map((name) => registry.get(name)?.codeHash);
    expect(hashes(first)).to.deep.equal(hashes(second)).and.not.include(undefined);
  });

  it('follows a flood of changes, and whoever publishes names of no function', async () => {
    const [first, second] = [await open('flood-1'), await open('flood-2')];
    const admin = new Redis(server.url);
    for (let i = 0; i < 2_000; i++)
      void admin.publish('nemo:functions:changed', `${i}`.repeat(i % 9 === 0 ? 2_000 : 1));
    await admin.hset('nemo:functions', 'bad', '{"name":"bad"}');
    const heard = second.next('f');
    const { spec } = await first.registry.deploy({ name: 'f', code: code('one') });
    expect(await heard).to.deep.equal(spec);
    expect(second.registry.list()).to.deep.equal([spec]);
    admin.disconnect();
  });

  it('takes the code anew where it is damaged on this box', async () => {
    const first = await open('damaged');
    const { spec } = await first.registry.deploy({ name: 'f', code: code('one') });
    await first.close();
    boxes.pop();
    await writeFile(first.registry.bundlePath(spec), 'damaged');
    const again = await open('damaged');
    expect(again.registry.warnings).to.deep.equal([]);
    expect(await readFile(again.registry.bundlePath(spec), 'utf8')).to.contain('one');
  });

  it('takes no code that is not what was deployed, says so, and runs the others', async () => {
    const first = await open('wrong-1');
    const { spec } = await first.registry.deploy({ name: 'f', code: code('one') });
    await first.registry.deploy({ name: 'g', code: code('g') });
    const base64 = Buffer.from(code('evil')).toString('base64');
    for (const part of [{ parts: 1, base64 }, { parts: 1e9, base64 }, 'x', null]) {
      await first.store.put('blocks', `${spec.codeHash}/0`, part);
      const second = await open('wrong-2');
      expect(second.registry.get('f')).to.equal(undefined);
      expect(second.registry.get('g')).to.not.equal(undefined);
      expect(second.registry.warnings.join()).to.match(/code of function 'f' is not on this box/);
      await second.close();
      boxes.pop();
    }
  });

  it('takes no package and no image that a deploy would not have made', async () => {
    const first = await open('unsound-1');
    const { spec } = await first.registry.deploy({ name: 'model', code: code('one') });
    const offer = async (name: string, ending: string, content: string): Promise<void> => {
      const hash = createHash('sha256').update(content).digest('hex');
      const part = { parts: 1, base64: Buffer.from(content).toString('base64') };
      await first.store.put('blocks', `${hash}/0`, part);
      const packages = [{ hash, name: 'p', bytes: 1, entries: ['a.mjs'] }];
      const change = ending === 'pkg' ? { packages } : { codeHash: hash, codeEnding: ending };
      await first.store.put('functions', name, { ...toStored(spec), name, ...change });
    };
    const pack = (files: Record<string, string>) => JSON.stringify({ name: 'p', entries: ['a.mjs'], files });
    await offer('sound', 'pkg', pack({ 'a.mjs': '1' }));
    await offer('traversal', 'pkg', pack({ '../../../x.mjs': '', 'a.mjs': '1' }));
    await offer('no-package', 'pkg', '{"files":7}');
    await offer('unsorted', 'pkg', pack({ 'b.mjs': '1', 'a.mjs': '1' }));
    await offer('image', 'image', '{"schema":"nemo.image/1","layers":["../../.."]}');
    const second = await open('unsound-2');
    expect(second.registry.list().map(({ ref }) => ref.key)).to.deep.equal(['model', 'sound']);
    expect(second.registry.warnings).to.have.length(4);
  });

  it('cuts code into parts, and leaves on its box what is too large for Redis', async () => {
    const first = await open('large-1');
    const long = (bytes: number): string => code('x'.repeat(bytes));
    await first.registry.deploy({ name: 'parts', code: long(3 * BLOCKS.partBytes) });
    await first.registry.deploy({ name: 'large', code: long(BLOCKS.sharedMaxBytes) });
    const second = await open('large-2');
    expect(second.registry.list().map(({ ref }) => ref.key)).to.deep.equal(['parts']);
    expect(second.registry.warnings.join()).to.match(/'large' is not on this box/);
  });

  it('removes code from Redis when no box needs it, and not before', async () => {
    const [first, second] = [await open('sweep-1', 0), await open('sweep-2', 0)];
    const { spec } = await first.registry.deploy({ name: 'f', code: code('one') });
    await second.registry.deploy({ name: 'g', code: code('one') });
    const blocks = async () => (await first.store.list('blocks')).map(({ key }) => key.slice(0, 64));
    const heard = second.next('f');
    await first.registry.deploy({ name: 'f', code: code('two') });
    await heard;
    await first.registry.deploy({ name: 'h', code: code('two') });
    expect(await blocks()).to.include(spec.codeHash);
    let dropped = (): void => {};
    const drop = new Promise<void>((resolve) => (dropped = resolve));
    await first.store.watch('blocks', () => dropped());
    await first.registry.remove('g');
    await drop;
    expect(await blocks()).to.not.include(spec.codeHash);
  });
});
