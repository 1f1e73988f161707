/** One snapshot: where it is, how it is used, and its opening for a start. Several starts may go on from it at once. */

import { closeSync, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { SnapshotFacts } from '../policy/snapshots/policy.js';
import { SNAPSHOT } from '../tunables/index.js';
import { loadIntoMemory } from './memory-file.js';
import { bytesOnDisk, type Meta, readWorkingSet, writeWorkingSet } from './snapshot-files.js';
import { readAhead, touchedPages, type WorkingSet } from './working-set.js';

/** A snapshot opened for one start. */
export interface OpenSnapshot {
  /** For reading. Where it is the file on disk, what a start needs of it is being read ahead. */
  memoryFd: number;
  devicesFd: number;
  tier: Tier;
  /** The machine has both. */
  close(): void;
  /** The start is over, well or not. */
  over(): void;
  /** The machine that these processes run has given its first answer. */
  answered(pids: () => readonly number[]): void;
}

export type Tier = 'memory' | 'disk';

export class Snapshot {
  readonly bytes: number;
  workingSet: WorkingSet | undefined;
  private learning = false;
  private memoryFd: number | undefined;
  private accesses = 0;
  /** Starts from it, and other uses of its folder, under way. */
  private uses = 0;

  constructor(
    readonly key: string,
    readonly meta: Meta,
    /** Index of the directory among the stores, and its own folder in it. */
    public store: number,
    public directory: string,
    private accessedMs: number,
  ) {
    this.bytes = bytesOnDisk(directory);
    this.workingSet = readWorkingSet(directory);
  }

  get tier(): Tier {
    return this.memoryFd === undefined ? 'disk' : 'memory';
  }

  get needed(): boolean {
    return this.uses > 0;
  }

  get used(): boolean {
    return this.accesses > 0;
  }

  facts(nowMs: number): SnapshotFacts {
    const { key, bytes, meta, needed, store } = this;
    return { key, bytes, savedMs: meta.savedMs, accesses: this.decayed(nowMs), needed, directory: store };
  }

  count(nowMs: number): void {
    this.accesses = this.decayed(nowMs) + 1;
    this.accessedMs = nowMs;
  }

  /** It stays where it is until what is returned is called; that calls `onOver`, once. */
  hold(onOver: () => void): () => void {
    this.uses++;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.uses--;
      onOver();
    };
  }

  open(nowMs: number, onOver: () => void): OpenSnapshot {
    const { directory, memoryFd: held, workingSet, tier } = this;
    const path = join(directory, 'memory');
    const memoryFd = openSync(held === undefined ? path : `/proc/self/fd/${held}`, 'r');
    const { ino } = fstatSync(memoryFd);
    const devicesFd = openSync(join(directory, 'devices'), 'r');
    if (held === undefined && workingSet !== undefined) readAhead(path, workingSet).catch(() => {});
    this.count(nowMs);
    return {
      ...{ memoryFd, devicesFd, tier },
      close() {
        closeSync(memoryFd);
        closeSync(devicesFd);
      },
      over: this.hold(onOver),
      answered: (pids) => void this.learn(pids, ino),
    };
  }

  async loadIntoMemory(): Promise<void> {
    this.memoryFd ??= await loadIntoMemory(join(this.directory, 'memory'), `nemo-${this.key}`);
  }

  /** Of its copy in memory. */
  letGo(): void {
    if (this.memoryFd !== undefined) closeSync(this.memoryFd);
    this.memoryFd = undefined;
  }

  /** Once: what the first machine touched, any other will. */
  private async learn(pids: () => readonly number[], inode: number): Promise<void> {
    if (this.workingSet !== undefined || this.learning) return;
    this.learning = true;
    try {
      const pages = await touchedPages(pids(), inode);
      if (pages === undefined) return;
      writeWorkingSet(this.directory, pages);
      this.workingSet = pages;
    } catch {
      // It has ended, or was removed: the next start will show its pages.
    } finally {
      this.learning = false;
    }
  }

  private decayed(nowMs: number): number {
    return this.accesses * 0.5 ** ((nowMs - this.accessedMs) / SNAPSHOT.halfLifeMs);
  }
}
