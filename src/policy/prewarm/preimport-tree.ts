/**
 * Which packages deserve stems that have imported them. A tree by inclusion: its root is the plain stem, a node adds
 * packages to the node above it, and a function takes the deepest node that has nothing which it does not import. The
 * nodes are what functions import and what two of them have in common; taken are, one after the other, those that save
 * the most loading time a byte of memory (Pagurus, ATC'22 and SOCK, ATC'18 keep such zygotes; the greedy choice is the
 * usual one for gains that only shrink).
 */

import { POOL } from '../../tunables/index.js';
import type { ImportedPackage, ImportSnapshot, PreimportStem } from './policy.js';

export interface TreeOptions {
  /** Most stems of all nodes together. */
  most: number;
  /** A node saves at least so much of a start. */
  saveMs: number;
  /** Starts in this time say how useful a node is; those in the shorter one, how many stems it needs. */
  windowMs: number;
  recentMs: number;
}

/** Different sets of packages that are looked at, of each group and of all: each pair of a group is. */
const SETS_MAX = 48;
const ALL_SETS_MAX = 480;

/** Functions that import the same, of one sharing group or of none. */
interface Users {
  group: string;
  packages: ReadonlyMap<string, ImportedPackage>;
  starts: number;
  recent: number;
  /** By the nodes taken so far. */
  savedMs: number;
}

interface Node {
  group: string;
  hashes: string[];
  savesMs: number;
  bytes: number;
  users: Users[];
  stems: number;
}

export function growTree(snapshot: ImportSnapshot, nowMs: number, options: TreeOptions): PreimportStem[] {
  const all = usersOf(snapshot, nowMs, options);
  const nodes = nodesOf(all).filter(
    ({ hashes, savesMs }) => savesMs >= options.saveMs && !snapshot.refused(hashes),
  );
  const taken: Node[] = [];
  for (let count = 0; count < options.most; count++) {
    let best: Node | undefined;
    let most = 0;
    for (const node of nodes) {
      const worth = gain(node);
      if (worth > most) [best, most] = [node, worth];
    }
    if (best === undefined) break;
    if (best.stems++ === 0) taken.push(best);
    for (const users of best.users) users.savedMs = Math.max(users.savedMs, best.savesMs);
  }
  return taken.map(({ group, hashes, stems }) => ({ group, hashes, stems }));
}

/** Milliseconds of loading saved a byte, by one more stem. */
function gain({ users, savesMs, bytes, stems }: Node): number {
  let saved = 0;
  if (stems === 0) for (const one of users) saved += one.starts * Math.max(0, savesMs - one.savedMs);
  else {
    // Of those that start together, one for each stem is served; users of a deeper node take that.
    let recent = 0;
    for (const one of users) if (one.savedMs === savesMs) recent += one.recent;
    saved = Math.max(0, recent - stems) * savesMs;
  }
  return saved / (POOL.residentBytes + bytes);
}

function usersOf({ functions }: ImportSnapshot, nowMs: number, { windowMs, recentMs }: TreeOptions): Users[] {
  const bySet = new Map<string, Users>();
  for (const { group, packages, misses } of functions) {
    if (packages.length === 0) continue;
    const sorted = [...packages].sort((a, b) => (a.hash < b.hash ? -1 : 1));
    const key = `${group}:${sorted.map(({ hash }) => hash).join()}`;
    let users = bySet.get(key);
    if (users === undefined) {
      const imported = new Map(sorted.map((one) => [one.hash, one]));
      users = { group, packages: imported, starts: 0, recent: 0, savedMs: 0 };
      bySet.set(key, users);
    }
    // Also one that was never called will be.
    users.starts += 1 + misses.since(nowMs - windowMs);
    users.recent += misses.since(nowMs - recentMs);
  }
  return [...bySet.values()];
}

/** What functions import, and what two of them have in common. */
function nodesOf(all: readonly Users[]): Node[] {
  const nodes = new Map<string, Node>();
  const groups = new Map<string, Users[]>();
  for (const users of all) {
    const own = groups.get(users.group);
    if (own === undefined) groups.set(users.group, [users]);
    else own.push(users);
  }
  let left = ALL_SETS_MAX;
  const startsOf = ([first]: readonly Users[]): number => first!.starts;
  for (const own of groups.values()) own.sort((a, b) => b.starts - a.starts);
  for (const [group, own] of [...groups].sort(([, a], [, b]) => startsOf(b) - startsOf(a))) {
    const sets = own.slice(0, Math.min(SETS_MAX, left));
    left -= sets.length;
    for (const [i, one] of sets.entries()) {
      for (const other of sets.slice(i)) {
        const hashes = [...one.packages.keys()].filter((hash) => other.packages.has(hash));
        const key = `${group}:${hashes.join()}`;
        if (hashes.length > 0 && !nodes.has(key)) nodes.set(key, nodeOf(group, hashes, one, own));
      }
    }
  }
  return [...nodes.values()];
}

function nodeOf(group: string, hashes: string[], one: Users, own: readonly Users[]): Node {
  let [savesMs, bytes] = [0, 0];
  for (const hash of hashes) {
    savesMs += one.packages.get(hash)!.loadMs;
    bytes += one.packages.get(hash)!.bytes;
  }
  const users = own.filter(({ packages }) => hashes.every((hash) => packages.has(hash)));
  return { group, hashes, savesMs, bytes, users, stems: 0 };
}
