/**
 * Placement by size, start cost and access: a snapshot is worth the start time that it saves lately, for each byte. The
 * most valuable are in memory, the next on disk, the rest go. One is made when its loads have cost as much as making
 * it does, as one buys what one has rented often enough, and only if it would stay.
 */

import type { SnapshotBudgets, SnapshotFacts, SnapshotPolicy } from './policy.js';

export const byValue: SnapshotPolicy = {
  name: 'by-value',
  make(candidate, makingMs, snapshots, budgets) {
    if (candidate.savedMs * candidate.accesses < makingMs) return false;
    return !byValue.place([...snapshots, candidate], budgets).evict.has(candidate.key);
  },
  place(snapshots, { memoryMaxBytes, diskMaxBytes }: SnapshotBudgets) {
    const memory = new Set<string>();
    const evict = new Set<string>();
    let onDisk = 0;
    let inMemory = 0;
    for (const { key, bytes, needed } of [...snapshots].sort(byWorth)) {
      if (!needed && onDisk + bytes > diskMaxBytes) {
        evict.add(key);
        continue;
      }
      onDisk += bytes;
      if (inMemory + bytes > memoryMaxBytes) continue;
      inMemory += bytes;
      memory.add(key);
    }
    return { memory, evict };
  },
};

function byWorth(a: SnapshotFacts, b: SnapshotFacts): number {
  if (a.needed !== b.needed) return a.needed ? -1 : 1;
  return worth(b) - worth(a);
}

function worth({ savedMs, accesses, bytes }: SnapshotFacts): number {
  return (savedMs * accesses) / Math.max(bytes, 1);
}
