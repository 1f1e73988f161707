import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { SnapshotManager } from '../../src/snapshots/manager.js';
import { errorOf } from '../support/sandboxes.js';

const MB = 2 ** 20;
const MADE_BY = { version: '1', memory: 256 };

describe('the snapshot manager', () => {
  let directory: string;
  let notes: string[];
  let made: number;
  const managers: SnapshotManager[] = [];
  const open = (budgets: { memory?: number; disk?: number } = {}, nowMs?: () => number): SnapshotManager => {
    const manager = new SnapshotManager({
      stores: [
        { path: 'memory', budgetBytes: budgets.memory ?? 100 * MB },
        { path: directory, budgetBytes: budgets.disk ?? 100 * MB },
      ],
      onNote: (line) => notes.push(line),
      ...(nowMs === undefined ? {} : { nowMs }),
    });
    managers.push(manager);
    return manager;
  };
  const make =
    (content = 'memory') =>
    async (folder: string) => {
      made++;
      writeFileSync(join(folder, 'memory'), Buffer.concat([Buffer.alloc(MB), Buffer.from(content)]));
      writeFileSync(join(folder, 'devices'), 'devices');
      return 5_000;
    };
  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'nemo-test-snapshots-')), 'snapshots');
    notes = [];
    made = 0;
  });
  afterEach(async () => {
    for (const manager of managers.splice(0)) await manager.close();
    rmSync(join(directory, '..'), { recursive: true });
  });

  it('makes one once, however many ask, and keeps it for the next agent', async () => {
    const manager = open();
    await Promise.all([1, 2, 3].map(() => manager.ensure('stem', MADE_BY, MB, make())));
    await open().ensure('stem', MADE_BY, MB, make());
    expect(made).to.equal(1);
    expect(notes).to.deep.equal([]);
  });

  it('gives its memory as a sealed copy that nobody can write to, and its devices from the beginning', async () => {
    const manager = open();
    await manager.ensure('stem', MADE_BY, MB, make());
    for (let i = 0; i < 2; i++) {
      const snapshot = manager.open('stem');
      const again = openSync(`/proc/self/fd/${snapshot.memoryFd}`, 'r+');
      expect(() => writeSync(again, 'x', MB)).to.throw('EPERM');
      const copy = readFileSync(`/proc/self/fd/${snapshot.memoryFd}`);
      expect([copy.length, copy.toString('utf8', MB)]).to.deep.equal([MB + 6, 'memory']);
      expect(readFileSync(snapshot.devicesFd, 'utf8')).to.equal('devices');
      snapshot.close();
    }
  });

  it('does not use one of another version: says what differs, removes it, makes it again', async () => {
    await open().ensure('stem', MADE_BY, MB, make());
    const manager = open();
    await manager.ensure('stem', { ...MADE_BY, version: '2' }, MB, make('new'));
    expect(notes).to.deep.equal(['the snapshot stem is not used: it is from another version (1, now 2)']);
    expect(readFileSync(join(directory, 'stem', 'memory')).toString('utf8', MB)).to.equal('new');
  });

  it('removes what a killed agent left half made, and what is damaged', async () => {
    await open().ensure('good', MADE_BY, MB, make());
    mkdirSync(join(directory, '.making-half'));
    mkdirSync(join(directory, 'damaged'));
    writeFileSync(join(directory, 'damaged', 'meta.json'), '{"schema":');
    expect(
      open()
        .list()
        .map(({ key }) => key),
    ).to.deep.equal(['good']);
    expect(readdirSync(directory)).to.deep.equal(['good']);
  });

  it('leaves nothing when making fails, and tries again', async () => {
    const manager = open();
    const error = await errorOf(
      manager.ensure('stem', MADE_BY, MB, () => Promise.reject(new Error('no boot'))),
    );
    expect(error.message).to.equal('no boot');
    expect(readdirSync(directory)).to.deep.equal([]);
    await manager.ensure('stem', MADE_BY, MB, make());
  });

  it('says that the disk is full before it makes anything, and when it fills meanwhile', async () => {
    const manager = open();
    const early = await errorOf(manager.ensure('stem', MADE_BY, 2 ** 60, make()));
    expect([early.code, made]).to.deep.equal(['STORAGE_FULL', 0]);
    expect(early.message).to.equal(`no snapshot is made: the disk of ${directory} is full`);
    const full = Object.assign(new Error('write'), { code: 'ENOSPC' });
    const late = await errorOf(manager.ensure('stem', MADE_BY, MB, () => Promise.reject(full)));
    expect([late.code, late.message]).to.deep.equal(['STORAGE_FULL', early.message]);
  });

  it('evicts the least valuable beyond the budget of the disk, and moves between the tiers by use', async () => {
    let nowMs = 1_000;
    const manager = open({ disk: 2.5 * MB, memory: 1.5 * MB }, () => nowMs);
    const tiers = (): Record<string, string> =>
      Object.fromEntries(manager.list().map(({ key, tier }) => [key, tier]));
    const use = async (key: string): Promise<void> => {
      const snapshot = manager.open(key);
      snapshot.close();
      snapshot.over();
      await manager.placed();
    };
    await manager.ensure('a', MADE_BY, MB, make());
    await manager.ensure('b', MADE_BY, MB, make());
    await use('a');
    await use('b');
    await use('b');
    expect(tiers()).to.deep.equal({ a: 'disk', b: 'memory' });
    // Much later, what was used often long ago counts for little.
    nowMs += 24 * 3_600_000;
    await use('a');
    expect(tiers()).to.deep.equal({ a: 'memory', b: 'disk' });
    await manager.ensure('c', MADE_BY, MB, make());
    expect(Object.keys(tiers()).sort()).to.deep.equal(['a', 'c']);
    expect(existsSync(join(directory, 'b'))).to.equal(false);
    expect(() => manager.open('b')).to.throw('there is no snapshot b');
  });
});
