import { expect } from 'chai';
import { byValue } from '../../src/policy/snapshots/by-value.js';
import type { DirectoryFacts, SnapshotFacts, SnapshotStores } from '../../src/policy/snapshots/policy.js';

const MB = 2 ** 20;
const facts = (key: string, more: Partial<SnapshotFacts> = {}): SnapshotFacts => ({
  ...{ key, bytes: 100 * MB, savedMs: 1_000, accesses: 1, needed: false, directory: 0 },
  ...more,
});
const directory = (budgetMb: number, more: Partial<DirectoryFacts> = {}): DirectoryFacts => ({
  ...{ budgetBytes: budgetMb * MB, freeBytes: 1_000_000 * MB, readBytesPerS: 0 },
  ...more,
});
const stores = (memoryMb: number, directories: DirectoryFacts[], readBytesPerS = 0): SnapshotStores => ({
  directories,
  memory: { budgetBytes: memoryMb * MB, readBytesPerS },
});
const spread = (snapshots: SnapshotFacts[], over: SnapshotStores) => {
  const { memory, evict, moves } = byValue.place(snapshots, over);
  return { memory: [...memory].sort(), evict: [...evict].sort(), moves: [...moves] };
};
const place = (snapshots: SnapshotFacts[], memoryMb: number, diskMb: number) => {
  const { moves, ...placed } = spread(snapshots, stores(memoryMb, [directory(diskMb)]));
  expect(moves).to.deep.equal([]);
  return placed;
};
/** In bytes a second, as measured. */
const [MEMORY, SSD, DISK] = [5e9, 1e9, 1e8];

describe('placing snapshots by value', () => {
  it('keeps everything where there is room, and in memory as much as fits', () => {
    expect(place([facts('a'), facts('b')], 200, 200)).to.deep.equal({ memory: ['a', 'b'], evict: [] });
    expect(place([facts('a'), facts('b', { accesses: 2 })], 100, 200)).to.deep.equal({
      memory: ['b'],
      evict: [],
    });
    expect(place([], 0, 0)).to.deep.equal({ memory: [], evict: [] });
  });

  it('prefers what is used more, what saves more, and what is smaller', () => {
    const often = facts('often', { accesses: 5 });
    const slow = facts('slow', { savedMs: 4_000 });
    const small = facts('small', { bytes: 50 * MB });
    expect(place([facts('plain'), small, slow, often], 150, 250)).to.deep.equal({
      memory: ['often', 'small'],
      evict: ['plain'],
    });
    expect(place([facts('plain'), slow, often], 100, 100)).to.deep.equal({
      memory: ['often'],
      evict: ['plain', 'slow'],
    });
  });

  it('never gives up what is being started from or made, and counts it', () => {
    const stem = facts('stem', { needed: true, accesses: 0 });
    const used = facts('used', { accesses: 100 });
    expect(place([used, stem], 50, 100)).to.deep.equal({ memory: [], evict: ['used'] });
  });

  it('fills what a large one leaves with smaller ones of less worth', () => {
    const large = facts('large', { bytes: 300 * MB, accesses: 9 });
    expect(place([large, facts('a')], 100, 400)).to.deep.equal({ memory: ['a'], evict: [] });
  });

  it('makes one when loading has cost as much as making, and only if it would stay', () => {
    const make = (candidate: SnapshotFacts, others: SnapshotFacts[] = [], diskMb = 1_000) =>
      byValue.make({ ...candidate, directory: undefined }, 2_000, others, stores(0, [directory(diskMb)]));
    expect(make(facts('slow', { savedMs: 2_000 }))).to.equal(true);
    expect(make(facts('quick', { savedMs: 300, accesses: 6 }))).to.equal(false);
    expect(make(facts('often', { savedMs: 300, accesses: 7 }))).to.equal(true);
    const worthy = facts('worthy', { accesses: 5 });
    expect(make(facts('less', { accesses: 3 }), [worthy], 150)).to.equal(false);
    expect(make(facts('more', { accesses: 6 }), [worthy], 150)).to.equal(true);
  });

  it('keeps what is worth most where it reads fastest, and the rest in the next', () => {
    const often = facts('often', { accesses: 5 });
    const over = [directory(1_000, { readBytesPerS: DISK }), directory(100, { readBytesPerS: SSD })];
    expect(spread([facts('seldom'), often], stores(0, over)).moves).to.deep.equal([['often', 1]]);
    const there = facts('there', { directory: 1 });
    // What leaves goes first, so that there is room.
    expect(spread([often, there], stores(0, over)).moves).to.deep.equal([
      ['there', 0],
      ['often', 1],
    ]);
    expect(spread([facts('a'), facts('b', { directory: 1 })], stores(0, over)).moves).to.deep.equal([]);
  });

  it('moves nothing for a little more worth, nor to where it reads about as fast', () => {
    const [a, b] = [facts('a', { accesses: 1.2 }), facts('b', { directory: 1 })];
    const fast = directory(100, { readBytesPerS: SSD });
    const over = (slow: number) => stores(0, [directory(1_000, { readBytesPerS: slow }), fast]);
    expect(spread([a, b], over(DISK)).moves).to.deep.equal([]);
    expect(spread([facts('a', { accesses: 9 }), b], over(SSD / 1.2)).moves).to.deep.equal([]);
    expect(
      spread([facts('a', { accesses: 9 })], stores(0, [directory(1_000), directory(100)])).moves,
    ).to.deep.equal([]);
  });

  it('moves nothing that nobody has used since the agent started', () => {
    const over = stores(0, [
      directory(1_000, { readBytesPerS: DISK }),
      directory(100, { readBytesPerS: SSD }),
    ]);
    expect(spread([facts('a', { accesses: 0 })], over).moves).to.deep.equal([]);
  });

  it('never moves what is being started from', () => {
    const over = stores(0, [directory(0, { readBytesPerS: DISK }), directory(1_000, { readBytesPerS: SSD })]);
    expect(spread([facts('a', { needed: true, accesses: 9 })], over)).to.deep.equal({
      ...{ memory: [], evict: [], moves: [] },
    });
  });

  it('makes a new one where it fits and reads fastest, beyond all budgets where there is most room', () => {
    const made = facts('made', { needed: true, directory: undefined });
    const over = (slowMb: number, fastMb: number) =>
      stores(0, [directory(slowMb, { readBytesPerS: DISK }), directory(fastMb, { readBytesPerS: SSD })]);
    expect(spread([made], over(100, 100)).moves).to.deep.equal([['made', 1]]);
    expect(spread([made], over(100, 50)).moves).to.deep.equal([['made', 0]]);
    expect(spread([made], over(60, 50)).moves).to.deep.equal([['made', 0]]);
  });

  it('gives up the least valuable for one that is made on a disk that is full, and nothing without need', () => {
    const full = stores(0, [directory(1_000, { freeBytes: 20 * MB })]);
    const there = [facts('seldom'), facts('often', { accesses: 5 })];
    const made = facts('made', { needed: true, directory: undefined });
    expect(spread([...there, made], full)).to.deep.equal({
      memory: [],
      evict: ['seldom'],
      moves: [['made', 0]],
    });
    expect(spread(there, stores(0, [directory(1_000, { freeBytes: -20 * MB })])).evict).to.deep.equal([]);
    const large = facts('large', { needed: true, directory: undefined, bytes: 300 * MB });
    expect(spread([...there, large], full).evict).to.include('large');
    // What is being started from makes no room.
    expect(spread([facts('stem', { needed: true }), made], full).evict).to.deep.equal(['made']);
  });

  it('holds copies in memory only of what does not read as fast already', () => {
    const over = (home: number) => stores(100, [directory(1_000, { readBytesPerS: home })], MEMORY);
    expect(spread([facts('a')], over(SSD)).memory).to.deep.equal(['a']);
    expect(spread([facts('a')], over(MEMORY * 0.9)).memory).to.deep.equal([]);
    expect(spread([facts('a')], over(0)).memory).to.deep.equal(['a']);
  });
});
