import { expect } from 'chai';
import { byValue } from '../../../src/sandbox/snapshots/by-value.js';
import type { SnapshotFacts } from '../../../src/sandbox/snapshots/policy.js';

const MB = 2 ** 20;
const facts = (key: string, more: Partial<SnapshotFacts> = {}): SnapshotFacts => ({
  ...{ key, bytes: 100 * MB, savedMs: 1_000, accesses: 1, needed: false },
  ...more,
});
const place = (snapshots: SnapshotFacts[], memoryMb: number, diskMb: number) => {
  const { memory, evict } = byValue.place(snapshots, {
    memoryMaxBytes: memoryMb * MB,
    diskMaxBytes: diskMb * MB,
  });
  return { memory: [...memory].sort(), evict: [...evict].sort() };
};

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
      byValue.make(candidate, 2_000, others, { memoryMaxBytes: 0, diskMaxBytes: diskMb * MB });
    expect(make(facts('slow', { savedMs: 2_000 }))).to.equal(true);
    expect(make(facts('quick', { savedMs: 300, accesses: 6 }))).to.equal(false);
    expect(make(facts('often', { savedMs: 300, accesses: 7 }))).to.equal(true);
    const worthy = facts('worthy', { accesses: 5 });
    expect(make(facts('less', { accesses: 3 }), [worthy], 150)).to.equal(false);
    expect(make(facts('more', { accesses: 6 }), [worthy], 150)).to.equal(true);
  });
});
