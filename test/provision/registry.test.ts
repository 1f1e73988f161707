import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { runCommand } from '../../src/linux/tied-process.js';
import { NemoError } from '../../src/model/errors.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { PackageRef } from '../../src/model/package.js';
import { createRegistry, type StoredRegistry } from '../../src/provision/registry.js';
import { type StoredSpec, toStored } from '../../src/provision/stored-spec.js';
import { openEmbeddedStore } from '../../src/store/embedded.js';
import type { Store } from '../../src/store/store.js';
import { FUNCTION_LIMITS } from '../../src/tunables/index.js';
import { esbuildPrepare } from '../gateway/in-process-platform.js';

describe('function registry', () => {
  let directory: string;
  let store: Store;
  let registry: StoredRegistry;
  const bundleDir = (): string => join(directory, 'bundles');
  const open = async (bundleGraceMs = 60_000): Promise<void> => {
    store = openEmbeddedStore(join(directory, 'store'));
    registry = await createRegistry({
      store,
      bundleDir: bundleDir(),
      prepare: esbuildPrepare,
      bundleGraceMs,
    });
  };
  const shut = async (): Promise<void> => {
    await registry.close();
    await store.close();
  };
  const rejection = async (work: Promise<unknown>): Promise<NemoError> => {
    const thrown = await work.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(thrown).to.be.instanceOf(NemoError);
    return thrown as NemoError;
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nemo-registry-'));
    await open();
  });
  afterEach(async () => {
    await shut();
    await rm(directory, { recursive: true, force: true });
  });

  it('brings back what earlier agents stored: without an engine or a version, or with an owner in the place of a sharing group', async () => {
    const { spec } = await registry.deploy({ name: 'old', code: 'export default () => 1;' });
    const { engine: _engine, codeEnding: _ending, version: _version, ...old } = toStored(spec);
    await registry.close();
    await store.put('functions', 'old', old);
    await store.put('functions', 'given', { ...toStored(spec), name: 'given', owner: 'default' });
    await store.put('functions', 'named', { ...toStored(spec), name: 'named', owner: 'team-a', unknown: 1 });
    await store.close();
    await open();
    expect(registry.get('old')).to.deep.equal(spec);
    expect(registry.get('given')).to.deep.equal({ ...spec, ref: functionRef('given') });
    expect(registry.get('named')).to.deep.equal({
      ...spec,
      ref: functionRef('named'),
      sharingGroup: 'team-a',
    });
    expect(registry.warnings).to.deep.equal([]);
  });

  it('counts versions with every deploy of a function, over restarts, and on from one that is not intact', async () => {
    const deploy = async (namespace = 'default') => {
      const { spec, created } = await registry.deploy({
        name: 'a',
        namespace,
        code: 'export default () => 1;',
      });
      return `${spec.ref.key} ${spec.ref.version} ${created ? 'created' : 'updated'}`;
    };
    expect(await deploy()).to.equal('a 1 created');
    expect(await deploy()).to.equal('a 2 updated');
    expect(await deploy('team')).to.equal('team/a 1 created');
    await shut();
    await open();
    expect(await deploy()).to.equal('a 3 updated');
    await writeFile(registry.bundlePath(registry.get('a')!), 'damaged');
    await shut();
    await open();
    expect(registry.list()).to.deep.equal([]);
    expect(await deploy()).to.equal('a 4 created');
    expect(await deploy('team')).to.equal('team/a 2 created');
    await store.put('functions', 'b', { name: 'b', codeHash: 'of an earlier agent, and damaged' });
    expect((await registry.deploy({ name: 'b', code: 'export default 1' })).spec.ref.version).to.equal(2);
    await registry.remove('b');
    await registry.remove('a');
    expect(registry.list().map(({ ref }) => ref)).to.deep.equal([functionRef('a', 'team', 2)]);
    expect(await deploy()).to.equal('a 1 created');
  });

  it('stores functions of the default namespace as it did before there were others', async () => {
    for (const where of [{}, { namespace: 'default' }, { namespace: 'team' }])
      await registry.deploy({ name: 'a', ...where, code: 'export default () => 1;' });
    const stored = (await store.list<StoredSpec>('functions')).map(({ key, value }) => {
      const { name, namespace, version } = value;
      return { key, name, namespace, version, hasRef: 'ref' in value };
    });
    expect(stored).to.deep.equal([
      { key: 'a', name: 'a', namespace: undefined, version: 2, hasRef: false },
      { key: 'team/a', name: 'a', namespace: 'team', version: 1, hasRef: false },
    ]);
  });

  it('strips types, stores the code under its hash and tells who listens', async () => {
    const heard: string[] = [];
    registry.onChange((name, spec) =>
      heard.push(`${name} ${spec === undefined ? 'gone' : spec.memoryBytes}`),
    );
    const { spec, created } = await registry.deploy({
      name: 'a',
      code: 'export default (x: number) => x;',
      memory: '64Mi',
    });
    expect(created).to.equal(true);
    expect(await readFile(registry.bundlePath(spec), 'utf8')).to.not.contain('number');
    expect(basename(registry.bundlePath(spec))).to.equal(`${spec.codeHash}.mjs`);
    expect(heard).to.deep.equal([`a ${64 * 2 ** 20}`]);
  });

  it('keeps the time of creation when a function is updated', async () => {
    const first = await registry.deploy({ name: 'a', code: 'export default () => 1;' });
    const second = await registry.deploy({ name: 'a', code: 'export default () => 2;' });
    expect(second.created).to.equal(false);
    expect(second.spec.createdAt).to.equal(first.spec.createdAt);
    expect(registry.get('a')).to.deep.equal(second.spec);
  });

  it('gives a syntax error with its line and stores nothing', async () => {
    const error = await rejection(
      registry.deploy({ name: 'a', code: 'export default () => {\n  retrun 1;;;)\n}' }),
    );
    expect(error.code).to.equal('BAD_FUNCTION');
    expect(error.message).to.match(/a\.ts:2:/);
    expect(registry.list()).to.deep.equal([]);
    expect(await readdir(bundleDir()).catch(() => [])).to.deep.equal([]);
  });

  it('lists by name, and finds all again after a restart', async () => {
    for (const name of ['b', 'a', 'c'])
      await registry.deploy({ name, code: `export default () => '${name}';` });
    await registry.remove('b');
    const before = registry.list();
    await shut();
    await open();
    expect(registry.list()).to.deep.equal(before);
    expect(registry.list().map(({ ref }) => ref.key)).to.deep.equal(['a', 'c']);
    expect(registry.warnings).to.deep.equal([]);
  });

  it('says NOT_FOUND when it removes what is not there', async () => {
    const error = await rejection(registry.remove('nobody'));
    expect(error.code).to.equal('NOT_FOUND');
    expect(error.message).to.contain('nobody');
  });

  it('shares one bundle between functions of the same code and removes it with the last', async () => {
    await shut();
    await open(0);
    const code = 'export default () => 1;';
    await registry.deploy({ name: 'a', code });
    await registry.deploy({ name: 'b', code });
    await registry.remove('a');
    await registry.deploy({ name: 'c', code: 'export default () => 2;' });
    expect(await readdir(bundleDir())).to.have.length(2);
    await registry.remove('b');
    await shut();
    await open();
    expect(await readdir(bundleDir())).to.deep.equal([basename(registry.bundlePath(registry.get('c')!))]);
  });

  it('sweeps leftovers at the start but not files of others', async () => {
    await registry.deploy({ name: 'a', code: 'export default () => 1;' });
    await writeFile(join(bundleDir(), `${'0'.repeat(64)}.abcd.tmp`), 'half a bund');
    await writeFile(join(bundleDir(), `${'0'.repeat(64)}.mjs`), 'unreferenced');
    await writeFile(join(bundleDir(), 'notes.txt'), 'mine');
    await shut();
    await open();
    const kept = [basename(registry.bundlePath(registry.get('a')!)), 'notes.txt'].sort();
    expect((await readdir(bundleDir())).sort()).to.deep.equal(kept);
  });

  it('warns of each value in the store that is no spec, and brings back the others', async () => {
    const { spec } = await registry.deploy({ name: 'good', code: 'export default () => 1;' });
    const ref = { hash: 'a'.repeat(64), name: 'p', bytes: 1, entries: ['index.js'] };
    const changes: Record<string, object> = {
      concurrency: { concurrency: 1e9 },
      'concurrency-of-parts': { concurrency: 1.5 },
      created: { createdAt: 'x'.repeat(100_000) },
      egress: { egress: ['everything'] },
      ending: { codeEnding: '../../x' },
      engine: { engine: 'x'.repeat(100_000) },
      env: { env: { A: 1 } },
      'env-large': { env: { A: 'x'.repeat(FUNCTION_LIMITS.envMaxBytes) } },
      'env-name': { env: { 'A B': 'x' } },
      group: { sharingGroup: 'Team A' },
      memory: { memoryBytes: '64Mi' },
      'memory-large': { memoryBytes: 2 * totalmem() },
      'memory-small': { memoryBytes: 4_096 },
      packages: { packages: [null] },
      'packages-many': { packages: Array(65).fill(ref) },
      schedule: { schedule: '0 0 31 2 *,'.repeat(1_000) },
      timeout: { timeoutMs: -1 },
      'timeout-long': { timeoutMs: 1e12 },
      whole: { packages: [{ ...ref, entries: ['x'.repeat(FUNCTION_LIMITS.specMaxBytes)] }] },
    };
    const foreign: Record<string, unknown> = {
      array: [],
      'name-of-another': spec,
      null: null,
      number: 7,
      string: 'x',
    };
    for (const [name, change] of Object.entries(changes))
      foreign[name] = { ...toStored(spec), name, ...change };
    for (const [key, value] of Object.entries(foreign)) await store.put('functions', key, value);
    await shut();
    await open();
    expect(registry.list()).to.deep.equal([spec]);
    const refused = Object.keys(foreign).sort();
    expect(registry.warnings).to.have.length(refused.length);
    for (const [i, key] of refused.entries()) {
      const why =
        key === 'whole' ? /^function "whole" is beyond/ : `under functions/"${key}" is not a function`;
      expect(registry.warnings[i]).to.match(new RegExp(why));
    }
  });

  it('names only some of what the store has and is no function, however much that is', async () => {
    const puts = Array.from({ length: 200 }, (_, i) => store.put('functions', `x${i}`, i));
    await Promise.all(puts);
    await shut();
    await open();
    expect(registry.warnings).to.have.length(FUNCTION_LIMITS.restoreWarningsMax + 1);
    expect(registry.warnings.at(-1)).to.match(/^168 more/);
  });

  it('warns of a function whose code was damaged, and a new deploy repairs it', async () => {
    const { spec } = await registry.deploy({ name: 'a', code: 'export default () => 1;' });
    await shut();
    await writeFile(registry.bundlePath(spec), 'something else');
    await open();
    expect(registry.get('a')).to.equal(undefined);
    expect(registry.warnings).to.have.length(1);
    expect(registry.warnings[0]).to.contain("'a'");
    await registry.deploy({ name: 'a', code: 'export default () => 1;' });
    await shut();
    await open();
    expect(registry.get('a')!.codeHash).to.equal(spec.codeHash);
  });

  it('says that the disk is full, keeps nothing of what did not fit, and takes what does', async () => {
    await mkdir(bundleDir());
    const code = (bytes: number) => `export default () => ${JSON.stringify('x'.repeat(bytes))};`;
    await runCommand('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'nemo-test', bundleDir()]);
    try {
      await registry.deploy({ name: 'a', code: code(1000) });
      const error = await rejection(registry.deploy({ name: 'b', code: code(200_000) }));
      expect([error.code, error.httpStatus]).to.deep.equal(['STORAGE_FULL', 507]);
      expect(error.message).to.contain(bundleDir()).and.to.contain('no space left');
      expect(registry.list().map(({ ref }) => ref.key)).to.deep.equal(['a']);
      expect(await readdir(bundleDir())).to.have.length(1);
      await registry.deploy({ name: 'c', code: code(60_000) });
    } finally {
      await runCommand('umount', ['-l', bundleDir()]);
    }
  });

  it('keeps one copy of a package while a function has it, and warns of a damaged one', async () => {
    await shut();
    await open(0);
    const packages = [{ name: 'p@1', entries: ['p.mjs'], files: { 'p.mjs': 'export const p = 1;' } }];
    const code = 'export default () => 1;';
    const { spec } = await registry.deploy({ name: 'a', code, packages });
    await registry.deploy({ name: 'b', code, packages });
    expect(spec.packages).to.have.length(1);
    const [{ hash }] = spec.packages as [PackageRef];
    await registry.deploy({ name: 'a', code });
    expect(registry.get('a')).to.not.have.property('packages');
    await shut();
    await open(0);
    expect(registry.get('b')!.packages).to.deep.equal(spec.packages);
    await shut();
    await writeFile(registry.packagePath(hash), 'something else');
    await open(0);
    expect(registry.warnings[0]).to.contain("'b'");
    await registry.deploy({ name: 'b', code });
    await shut();
    await open();
    expect(await readdir(bundleDir())).to.deep.equal([basename(registry.bundlePath(registry.get('b')!))]);
  });

  it('runs changes of many callers one after the other', async () => {
    const deploys = Array.from({ length: 40 }, (_, i) =>
      registry.deploy({ name: `f${i % 4}`, code: `export default () => ${i};` }),
    );
    await Promise.all(deploys);
    expect(registry.list()).to.have.length(4);
    await shut();
    await open();
    expect(registry.list()).to.have.length(4);
    expect(await readdir(bundleDir())).to.have.length(4);
  });

  it('loses nothing acknowledged when it is killed at any point', async function () {
    this.timeout(30_000);
    await shut();
    const child = fileURLToPath(new URL('./registry-child.js', import.meta.url));
    /** What must be there: name -> hash, '' for removed, undefined for a change that was under way. */
    let expected = new Map<string, string | undefined>();
    for (let round = 0; round < 16; round++) {
      const process = spawn(globalThis.process.execPath, [child, directory, String(round)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(process, 'exit');
      let left = 10 + 3 * round;
      for await (const line of createInterface({ input: process.stdout })) {
        const [verb, name, hash] = line.split(' ') as [string, string, string | undefined];
        expected.set(name, verb === 'deployed' ? hash : verb === 'removed' ? '' : undefined);
        // Each round at another point of a change, which takes some milliseconds.
        if (--left === 0) setTimeout(() => process.kill('SIGKILL'), (round * 0.7) % 8);
      }
      await exited;
      await open();
      expect(registry.warnings).to.deep.equal([]);
      for (const [name, hash] of expected) {
        if (hash !== undefined) expect(registry.get(name)?.codeHash ?? '', name).to.equal(hash);
      }
      const hashes = new Set(registry.list().map((spec) => `${spec.codeHash}.mjs`));
      expect(new Set(await readdir(bundleDir()))).to.deep.equal(hashes);
      expected = new Map(registry.list().map((spec) => [spec.ref.key, spec.codeHash]));
      await shut();
    }
    expect(expected.size).to.be.greaterThan(0);
    await open();
  });
});
