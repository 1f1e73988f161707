import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { SnapshotManager } from '../../src/snapshots/manager.js';
import { memoryReadSpeed, readSpeedOf } from '../../src/snapshots/read-speed.js';
import { type StoreConfig, Stores, storesOf } from '../../src/snapshots/stores.js';
import { errorOf } from '../support/sandboxes.js';

const MB = 2 ** 20;
const MADE_BY = { version: '1' };

describe('the stores of snapshots', () => {
  /** On a file system in memory, and on one on a disk. */
  let fast: string;
  let disk: string;
  let notes: string[];
  const managers: SnapshotManager[] = [];

  beforeEach(() => {
    fast = mkdtempSync('/dev/shm/nemo-test-stores-');
    disk = mkdtempSync('/var/tmp/nemo-test-stores-');
    notes = [];
  });
  afterEach(async () => {
    for (const manager of managers.splice(0)) await manager.close();
    for (const directory of [fast, disk]) rmSync(directory, { recursive: true });
  });

  const open = (stores: StoreConfig[]): SnapshotManager => {
    // So that a busy machine decides nothing here.
    const speedOf = async (path: string): Promise<number> => (path === fast ? 4e9 : 1e9);
    const manager = new SnapshotManager({ stores, speedOf, onNote: (line) => notes.push(line) });
    managers.push(manager);
    return manager;
  };
  const both = (fastMb: number, diskMb: number): StoreConfig[] => [
    { path: disk, budgetBytes: diskMb * MB },
    { path: fast, budgetBytes: fastMb * MB },
  ];
  const make = async (folder: string): Promise<number> => {
    writeFileSync(join(folder, 'memory'), Buffer.alloc(MB, 7));
    writeFileSync(join(folder, 'devices'), 'devices');
    return 5_000;
  };
  const use = async (manager: SnapshotManager, key: string): Promise<void> => {
    const snapshot = manager.open(key);
    snapshot.close();
    snapshot.over();
    await manager.placed();
  };
  const places = (): { fast: string[]; disk: string[] } => ({
    fast: readdirSync(fast).sort(),
    disk: readdirSync(disk).sort(),
  });
  it('measures a file system in memory, one on a disk and memory itself, and leaves nothing behind', async () => {
    const speeds = [
      await readSpeedOf(fast, 'probe'),
      await readSpeedOf(disk, 'probe'),
      await memoryReadSpeed(),
    ];
    for (const speed of speeds) expect(speed).to.be.greaterThan(0).and.lessThan(Number.POSITIVE_INFINITY);
    expect(places()).to.deep.equal({ fast: [], disk: [] });
  });

  it('measures nothing where there is no choice', async () => {
    const stores = new Stores([
      { path: 'memory', budgetBytes: MB },
      { path: disk, budgetBytes: MB },
    ]);
    expect(await stores.measure((line) => notes.push(line))).to.equal(false);
    expect([stores.memory.readBytesPerS, stores.directories[0]!.readBytesPerS]).to.deep.equal([0, 0]);
  });

  it('notes a directory that cannot be measured, and takes it for the slowest', async () => {
    const stores = new Stores(both(1, 1));
    writeFileSync(join(fast, '.making-read-speed'), '');
    await stores.measure((line) => notes.push(line));
    expect(notes.join()).to.match(new RegExp(`^how fast ${fast} reads is not known: EEXIST`));
    expect(stores.directories.map(({ readBytesPerS }) => readBytesPerS > 0)).to.deep.equal([true, false]);
  });

  it('moves the most valuable to where it reads fastest, whole, and starts go on meanwhile', async () => {
    const manager = open(both(1.5, 100));
    await manager.placed();
    for (const key of ['a', 'b']) await manager.ensure(key, MADE_BY, 10 * MB, make);
    // There was no room for their 10 MB at first.
    await use(manager, 'b');
    expect(places()).to.deep.equal({ fast: ['b'], disk: ['a'] });
    const running = manager.open('b');
    for (let i = 0; i < 3; i++) await use(manager, 'a');
    expect(places(), 'not while it is started from').to.deep.equal({ fast: ['b'], disk: ['a'] });
    running.over();
    await manager.placed();
    expect(places()).to.deep.equal({ fast: ['a'], disk: ['b'] });
    expect(readFileSync(`/proc/self/fd/${running.memoryFd}`).equals(Buffer.alloc(MB, 7))).to.equal(true);
    running.close();
    const moved = manager.open('a');
    expect(readFileSync(moved.memoryFd).equals(Buffer.alloc(MB, 7))).to.equal(true);
    expect(statSync(join(fast, 'a', 'memory')).mode & 0o777).to.equal(0o600);
    moved.close();
    moved.over();
    expect(notes).to.deep.equal([]);
  });

  it('evicts from the slowest when all budgets are used up', async () => {
    const manager = open(both(1.5, 1.5));
    await manager.placed();
    await manager.ensure('a', MADE_BY, MB, make);
    await use(manager, 'a');
    await manager.ensure('b', MADE_BY, MB, make);
    await manager.ensure('c', MADE_BY, MB, make);
    await manager.placed();
    expect(places().fast).to.deep.equal(['a']);
    expect(places().disk).to.have.length(1);
  });

  it('finds them again in each directory; of one that a kill left twice it keeps one', async () => {
    const before = open(both(100, 100));
    for (const key of ['a', 'b']) await before.ensure(key, MADE_BY, MB, make);
    await before.close();
    const home = before.list().length === 0 ? [...places().fast, ...places().disk].sort() : [];
    expect(home).to.deep.equal(['a', 'b']);
    const [from, to] = existsSync(join(fast, 'a')) ? [fast, disk] : [disk, fast];
    mkdirSync(join(to, 'a'));
    for (const name of readdirSync(join(from, 'a')))
      writeFileSync(join(to, 'a', name), readFileSync(join(from, 'a', name)));
    mkdirSync(join(to, '.making-b'));
    const after = open(both(100, 100));
    expect(
      after
        .list()
        .map(({ key }) => key)
        .sort(),
    ).to.deep.equal(['a', 'b']);
    expect([...places().fast, ...places().disk].filter((name) => name.startsWith('a'))).to.deep.equal(['a']);
  });

  it('keeps each in a folder of its own, and takes none that others could write to', async () => {
    const own = storesOf([{ path: fast, budgetBytes: MB }], '/var/lib/nemo/microvm')[0]!;
    expect(dirname(own.path)).to.equal(fast);
    expect(storesOf([{ path: fast, budgetBytes: MB }], '/var/lib/other/microvm')[0]!.path).to.not.equal(
      own.path,
    );
    expect(storesOf([{ path: 'state', budgetBytes: MB }], '/s')[0]!.path).to.equal('/s/snapshots');
    open([own]);
    expect(statSync(own.path).mode & 0o777).to.equal(0o700);
    const lax = join(disk, 'lax');
    mkdirSync(lax);
    chmodSync(lax, 0o777);
    const link = join(disk, 'link');
    symlinkSync(fast, link);
    for (const path of [lax, link]) {
      const error = await errorOf(Promise.resolve().then(() => open([{ path, budgetBytes: MB }])));
      expect([error.code, error.message.includes(path)]).to.deep.equal(['BAD_CONFIG', true]);
    }
  });
});
