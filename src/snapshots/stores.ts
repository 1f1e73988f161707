/**
 * Where snapshots are kept: memory for sealed copies, and directories on any file system, each with a budget. How fast
 * they read is measured once, in the background, and only where there is a choice.
 */

import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { takeDirectory } from '../linux/owned-directory.js';
import type { SnapshotStores } from '../policy/snapshots/policy.js';
import { SNAPSHOT } from '../tunables/index.js';
import { memoryReadSpeed, readSpeedOf } from './read-speed.js';

/** A store that holds copies only: it has no path. */
export const MEMORY_STORE = 'memory';
/** In the state directory of the agent. */
export const STATE_STORE = 'state';

export interface StoreConfig {
  /** `memory`, `state`, or a directory; in it one of this agent's own is made. */
  readonly path: string;
  readonly budgetBytes: number;
}

export const DEFAULT_STORES: readonly StoreConfig[] = [
  { path: MEMORY_STORE, budgetBytes: SNAPSHOT.memoryMaxBytes },
  { path: STATE_STORE, budgetBytes: SNAPSHOT.diskMaxBytes },
];

/** With the directory that each is: one of its own in a place that the configuration names, since others may use that too. */
export function storesOf(stores: readonly StoreConfig[], stateDir: string): StoreConfig[] {
  const own = `nemo-snapshots-${createHash('sha256').update(stateDir).digest('hex').slice(0, 12)}`;
  return stores.map(({ path, budgetBytes }) => {
    if (path === MEMORY_STORE) return { path, budgetBytes };
    return { path: path === STATE_STORE ? join(stateDir, 'snapshots') : ownIn(path, own), budgetBytes };
  });
}

/** Where any user may make directories, one may have taken the name: then it is a name that nobody can guess. */
function ownIn(path: string, name: string): string {
  const usual = join(path, name);
  if (!isForeign(usual)) return usual;
  const made = readdirSync(path).find((one) => one.startsWith(`${name}-`) && !isForeign(join(path, one)));
  return made === undefined ? mkdtempSync(`${usual}-`) : join(path, made);
}

function isForeign(path: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats !== undefined && stats.uid !== process.getuid?.();
}

/** In a store: half made. The next agent that starts removes it. */
export const UNFINISHED = '.making-';
const PROBE = `${UNFINISHED}read-speed`;

/** Bytes a second; may make a file of that name there, and removes it. */
export type SpeedOf = (directory: string, name: string) => Promise<number>;

export class SnapshotDirectory {
  readBytesPerS = 0;

  /** Makes it, and takes over one that is safe. Throws BAD_CONFIG. */
  constructor(
    readonly path: string,
    readonly budgetBytes: number,
  ) {
    takeDirectory({ what: 'microvm.snapshots', path, mode: 0o700 });
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize - SNAPSHOT.diskReserveBytes;
  }
}

export class Stores implements SnapshotStores {
  readonly directories: readonly SnapshotDirectory[];
  readonly memory = { budgetBytes: 0, readBytesPerS: 0 };

  /** `stores`: with the path of each directory as it is to be used. */
  constructor(
    stores: readonly StoreConfig[],
    private readonly speedOf: SpeedOf = readSpeedOf,
  ) {
    const directories: SnapshotDirectory[] = [];
    for (const { path, budgetBytes } of stores) {
      if (path === MEMORY_STORE) this.memory.budgetBytes = budgetBytes;
      else directories.push(new SnapshotDirectory(path, budgetBytes));
    }
    this.directories = directories;
  }

  /**
   * One after the other, so that they do not slow each other down. One that fails counts as the slowest. Resolves to
   * false where there is no choice.
   */
  async measure(onNote: (line: string) => void): Promise<boolean> {
    if (this.directories.length < 2) return false;
    this.memory.readBytesPerS = await memoryReadSpeed();
    for (const directory of this.directories) {
      try {
        directory.readBytesPerS = await this.speedOf(directory.path, PROBE);
        // Where a directory came out faster, something else ran while memory was measured.
        this.memory.readBytesPerS = Math.max(this.memory.readBytesPerS, directory.readBytesPerS);
      } catch (thrown) {
        onNote(`how fast ${directory.path} reads is not known: ${(thrown as Error).message}`);
      }
    }
    return true;
  }
}
