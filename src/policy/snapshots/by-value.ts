/**
 * Placement by size, start cost and access: a snapshot is worth the start time that it saves lately, for each byte. The
 * most valuable are in the directory that reads fastest, the next in the next one, the rest go; memory holds copies of the
 * most valuable where that is faster. One is made when its loads have cost as much as making it does, as one buys what one
 * has rented often enough, and only if it would stay.
 */

import { SNAPSHOT } from '../../tunables/index.js';
import type { SnapshotFacts, SnapshotPolicy, SnapshotStores } from './policy.js';

export const byValue: SnapshotPolicy = {
  name: 'by-value',
  make(candidate, makingMs, snapshots, stores) {
    if (candidate.savedMs * candidate.accesses < makingMs) return false;
    return !byValue.place([...snapshots, candidate], stores).evict.has(candidate.key);
  },
  place(snapshots, stores) {
    const homes = homesOf(snapshots, stores);
    const evict = new Set(snapshots.filter(({ key }) => !homes.has(key)).map(({ key }) => key));
    return { evict, moves: movesOf(snapshots, homes, stores), memory: inMemory(snapshots, homes, stores) };
  },
};

/** The directory of each that stays. */
function homesOf(snapshots: readonly SnapshotFacts[], stores: SnapshotStores): Map<string, number> {
  const { directories } = stores;
  const order = fastestFirst(stores);
  const homes = new Map<string, number>();
  const budgets = stores.directories.map(({ budgetBytes }) => budgetBytes);
  const disks = disksOf(snapshots, stores);
  const room = (at: number): number => Math.min(budgets[at]!, disks[at]!);
  const put = ({ key, bytes, mostBytes = bytes }: SnapshotFacts, at: number): void => {
    homes.set(key, at);
    budgets[at]! -= bytes;
    disks[at]! -= mostBytes;
  };
  for (const one of snapshots) if (one.needed && one.directory !== undefined) put(one, one.directory);
  for (const one of snapshots) {
    if (!one.needed || one.directory !== undefined) continue;
    // What nobody needs is given up for it; beyond the budget it goes where there is most room.
    const loose = (at: number): number =>
      sum(snapshots.filter((other) => other.directory === at && !other.needed));
    const most = one.mostBytes ?? one.bytes;
    const fits = order.filter((at) => directories[at]!.freeBytes + loose(at) >= most);
    const best =
      fits.find((at) => budgets[at]! >= one.bytes && disks[at]! >= most) ??
      fits.toSorted((a, b) => room(b) - room(a))[0];
    if (best !== undefined) put(one, best);
  }
  for (const at of order) {
    const wants = snapshots.filter(
      (one) => !homes.has(one.key) && !one.needed && mayBeIn(one, at, order, stores),
    );
    for (const one of wants.toSorted((a, b) => worth(b, at) - worth(a, at))) {
      if (room(at) >= one.bytes) put(one, at);
    }
  }
  return homes;
}

/** What the disk of each directory can hold. Only for one that is being made others make room on a disk that is full. */
function disksOf(snapshots: readonly SnapshotFacts[], { directories }: SnapshotStores): number[] {
  const making = snapshots.some(({ needed, directory }) => needed && directory === undefined);
  return directories.map(({ freeBytes }, at) => {
    const used = sum(snapshots.filter(({ directory }) => directory === at));
    return used + (making ? freeBytes : Math.max(0, freeBytes));
  });
}

/** It moves up only where that pays: directories that are about as fast do not exchange their snapshots. */
function mayBeIn(one: SnapshotFacts, at: number, order: readonly number[], stores: SnapshotStores): boolean {
  const from = one.directory;
  if (from === undefined || from === at || order.indexOf(from) < order.indexOf(at)) return true;
  const { directories } = stores;
  // What nobody has used since the agent started is not known to be worth a move.
  return worth(one) > 0 && isFaster(directories[at]!.readBytesPerS, directories[from]!.readBytesPerS);
}

/** Those that go to a slower directory first: the others take their room. */
function movesOf(
  snapshots: readonly SnapshotFacts[],
  homes: ReadonlyMap<string, number>,
  stores: SnapshotStores,
): Map<string, number> {
  const order = fastestFirst(stores);
  const moving = snapshots.filter(({ key, directory }) => homes.has(key) && homes.get(key) !== directory);
  const rank = ({ key }: SnapshotFacts): number => order.indexOf(homes.get(key)!);
  return new Map(moving.toSorted((a, b) => rank(b) - rank(a)).map(({ key }) => [key, homes.get(key)!]));
}

function inMemory(
  snapshots: readonly SnapshotFacts[],
  homes: ReadonlyMap<string, number>,
  { directories, memory }: SnapshotStores,
): Set<string> {
  const held = new Set<string>();
  let left = memory.budgetBytes;
  const needed = ({ needed }: SnapshotFacts): number => (needed ? 0 : 1);
  for (const one of snapshots.toSorted((a, b) => needed(a) - needed(b) || worth(b) - worth(a))) {
    const home = homes.get(one.key);
    if (home === undefined || one.bytes > left) continue;
    const { readBytesPerS } = directories[home]!;
    // As long as nothing is measured memory is the fastest there is.
    if (readBytesPerS > 0 && memory.readBytesPerS > 0 && !isFaster(memory.readBytesPerS, readBytesPerS))
      continue;
    left -= one.bytes;
    held.add(one.key);
  }
  return held;
}

/** As configured as long as nothing is measured. */
function fastestFirst({ directories }: SnapshotStores): number[] {
  return directories
    .map((_, at) => at)
    .sort((a, b) => directories[b]!.readBytesPerS - directories[a]!.readBytesPerS);
}

function isFaster(oneBytesPerS: number, otherBytesPerS: number): boolean {
  return oneBytesPerS > otherBytesPerS * SNAPSHOT.fasterFactor;
}

/** For a byte. A move costs too: two of about the same worth must not change places for ever. */
function worth({ savedMs, accesses, bytes, directory }: SnapshotFacts, at?: number): number {
  const moves = at !== undefined && directory !== undefined && directory !== at;
  return (savedMs * accesses) / Math.max(bytes, 1) / (moves ? SNAPSHOT.moveFactor : 1);
}

function sum(snapshots: readonly SnapshotFacts[]): number {
  return snapshots.reduce((total, { bytes }) => total + bytes, 0);
}
