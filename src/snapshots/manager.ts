/**
 * Snapshots of machines: made once, kept in directories across agents, the valuable ones also in memory. Machines map the
 * sealed copy in memory, or the file, opened for reading only: none can change what others start from. The policy
 * decides where each is and which are removed; this file carries it out.
 */

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { asNemoError, isStorageFull, NemoError } from '../model/errors.js';
import { byValue } from '../policy/snapshots/by-value.js';
import type { SnapshotFacts, SnapshotPolicy } from '../policy/snapshots/policy.js';
import { SNAPSHOT } from '../tunables/index.js';
import { type OpenSnapshot, Snapshot, type Tier } from './snapshot.js';
import {
  copySnapshot,
  difference,
  type MadeBy,
  type Meta,
  putInPlace,
  readMeta,
  writeMeta,
} from './snapshot-files.js';
import { type SpeedOf, type StoreConfig, Stores, UNFINISHED } from './stores.js';
import { bytesOf } from './working-set.js';

export interface SnapshotManagerOptions {
  /** At least one of them is a directory. */
  stores: readonly StoreConfig[];
  policy?: SnapshotPolicy;
  /** A message for the operator, one line. */
  onNote: (line: string) => void;
  nowMs?: () => number;
  speedOf?: SpeedOf;
}

type Room = Required<Pick<SnapshotFacts, 'bytes' | 'mostBytes'>>;

export class SnapshotManager {
  private readonly snapshots = new Map<string, Snapshot>();
  private readonly making = new Map<string, Promise<void>>();
  private readonly policy: SnapshotPolicy;
  private readonly stores: Stores;
  /** In the background: only those who ask for it wait. */
  private readonly measuring: Promise<void>;
  private placing: Promise<void> = Promise.resolve();
  private closed = false;
  /** Not during a start: placing reads from disk, and would slow the machine. */
  private readonly onOver = (): void => this.schedulePlacing();

  /** Reads the stores; removes what a killed agent left half made. */
  constructor(private readonly options: SnapshotManagerOptions) {
    this.policy = options.policy ?? byValue;
    this.stores = new Stores(options.stores, options.speedOf);
    for (const [store, { path: directory }] of this.stores.directories.entries()) {
      for (const name of readdirSync(directory)) {
        const path = join(directory, name);
        const meta = name.startsWith(UNFINISHED) ? undefined : readMeta(path);
        // A move was cut short after its end: one of the two is enough.
        if (meta === undefined || this.snapshots.has(name)) rmSync(path, { recursive: true, force: true });
        else this.add(name, store, path, meta);
      }
    }
    this.measuring = this.stores.measure(options.onNote).then((isChoice) => {
      if (isChoice) this.schedulePlacing();
    });
  }

  /** Whether there is one that fits. One that does not is removed, with a note why. */
  has(key: string, madeBy: MadeBy): boolean {
    const snapshot = this.snapshots.get(key);
    if (snapshot === undefined) return false;
    const other = difference(snapshot.meta.madeBy, madeBy);
    if (other === undefined) return true;
    this.options.onNote(`the snapshot ${key} is not used: it is from another ${other}`);
    this.remove(key);
    return false;
  }

  /**
   * Makes one unless there is one that fits: `make` fills a folder with `memory` and `devices`, and says what a start
   * without it costs. Several that ask at once wait for the same. `bytes`: what it will take, about; `mostBytes`: what it
   * can take, for which there has to be room on the disk.
   */
  async ensure(
    key: string,
    madeBy: MadeBy,
    bytes: number,
    make: (directory: string) => Promise<number>,
    mostBytes = bytes,
  ): Promise<void> {
    if (this.has(key, madeBy)) return;
    let making = this.making.get(key);
    if (making === undefined) {
      making = this.make(key, madeBy, { bytes, mostBytes }, make).finally(() => this.making.delete(key));
      this.making.set(key, making);
    }
    await making;
  }

  /** Whether the policy wants one that is not there. */
  worthMaking(candidate: Omit<SnapshotFacts, 'directory'>, makingMs: number): boolean {
    return this.policy.make({ ...candidate, directory: undefined }, makingMs, this.allFacts(), this.stores);
  }

  /** Its folder. NOT_FOUND where there is none (any more). It stays there until `over` is called. */
  reserve(key: string): { directory: string; over: () => void } {
    const snapshot = this.find(key);
    return { directory: snapshot.directory, over: snapshot.hold(this.onOver) };
  }

  madeByOf(key: string): MadeBy | undefined {
    return this.snapshots.get(key)?.meta.madeBy;
  }

  /** For one start. NOT_FOUND where there is none (any more). */
  open(key: string): OpenSnapshot {
    return this.find(key).open(this.now(), this.onOver);
  }

  /** Resolves when every snapshot is where the policy wants it, with the stores measured. */
  async placed(): Promise<void> {
    await this.measuring;
    await this.placing;
  }

  remove(key: string): void {
    const snapshot = this.snapshots.get(key);
    if (snapshot === undefined) return;
    this.snapshots.delete(key);
    snapshot.letGo();
    // Machines that run from it keep what they have open.
    rmSync(snapshot.directory, { recursive: true, force: true });
  }

  /** For operators. */
  list(): Array<SnapshotFacts & { path: string; tier: Tier; workingSetBytes: number | undefined }> {
    return [...this.snapshots.values()].map((one) => ({
      ...one.facts(this.now()),
      path: one.directory,
      tier: one.tier,
      workingSetBytes: one.workingSet && bytesOf(one.workingSet),
    }));
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.allSettled(this.making.values());
    await this.placed();
    for (const snapshot of this.snapshots.values()) snapshot.letGo();
    this.snapshots.clear();
  }

  private async make(
    key: string,
    madeBy: MadeBy,
    room: Room,
    make: (directory: string) => Promise<number>,
  ): Promise<void> {
    const store = await this.makeRoom(key, room);
    const { path } = this.stores.directories[store]!;
    try {
      let meta: Meta | undefined;
      const place = await putInPlace(path, key, async (folder) => {
        meta = writeMeta(folder, madeBy, await make(folder));
        return true;
      });
      this.add(key, store, place!, meta!).count(this.now());
    } catch (thrown) {
      throw isStorageFull(thrown) ? storageFull(path, 'free some room there', thrown) : thrown;
    }
    this.schedulePlacing();
    await this.placing;
  }

  /** Lets the policy say which have to go for it, and where it is to be. STORAGE_FULL where that is nowhere. */
  private async makeRoom(key: string, { bytes, mostBytes }: Room): Promise<number> {
    const wanted: SnapshotFacts = {
      ...{ key, bytes, mostBytes, savedMs: 1, accesses: 1, needed: true },
      directory: undefined,
    };
    const { evict, moves } = this.policy.place([...this.allFacts(), wanted], this.stores);
    const store = moves.get(key);
    if (store === undefined) {
      const paths = this.stores.directories.map(({ path }) => path).join(', ');
      const mb = Math.ceil((mostBytes + SNAPSHOT.diskReserveBytes) / 1e6);
      throw storageFull(paths, `free ${mb} MB there`);
    }
    for (const one of evict) this.remove(one);
    const leaving = [...moves].filter(([other]) => this.snapshots.get(other)?.store === store);
    if (leaving.length > 0) {
      await this.oneAtATime(async () => {
        for (const [other, to] of leaving) await this.move(other, to);
      });
    }
    return store;
  }

  private add(key: string, store: number, directory: string, meta: Meta): Snapshot {
    const snapshot = new Snapshot(key, meta, store, directory, this.now());
    this.snapshots.set(key, snapshot);
    return snapshot;
  }

  private find(key: string): Snapshot {
    const snapshot = this.snapshots.get(key);
    if (snapshot === undefined) throw new NemoError('NOT_FOUND', `there is no snapshot ${key}`);
    return snapshot;
  }

  private allFacts(): SnapshotFacts[] {
    return [...this.snapshots.values()].map((one) => one.facts(this.now()));
  }

  private schedulePlacing(): void {
    void this.oneAtATime(() => this.place());
  }

  /** One move or eviction at a time. */
  private oneAtATime(work: () => Promise<void>): Promise<void> {
    this.placing = this.placing
      .then(work)
      .catch((thrown) =>
        this.options.onNote(`snapshots stay where they are: ${asNemoError(thrown).message}`),
      );
    return this.placing;
  }

  /** Carries out what the policy decided. A snapshot that was never used is not read into memory. */
  private async place(): Promise<void> {
    if (this.closed) return;
    const { evict, moves, memory } = this.policy.place(this.allFacts(), this.stores);
    for (const key of evict) this.remove(key);
    for (const [key, store] of moves) await this.move(key, store);
    for (const snapshot of this.snapshots.values()) {
      if (!memory.has(snapshot.key)) snapshot.letGo();
      else if (snapshot.used && !this.closed) await this.try(snapshot.key, () => snapshot.loadIntoMemory());
      // It may have been removed meanwhile.
      if (this.snapshots.get(snapshot.key) !== snapshot) snapshot.letGo();
    }
  }

  /** Machines that run from it, or start from it meanwhile, keep what they have open. */
  private async move(key: string, store: number): Promise<void> {
    const snapshot = this.snapshots.get(key);
    if (snapshot === undefined || this.closed) return;
    const from = snapshot.directory;
    await this.try(key, async () => {
      const place = await putInPlace(this.stores.directories[store]!.path, key, async (folder) => {
        await copySnapshot(from, folder);
        // It may have been removed meanwhile, or somebody needs its folder.
        return this.snapshots.get(key) === snapshot && !snapshot.needed;
      });
      if (place === undefined) return;
      snapshot.directory = place;
      snapshot.store = store;
      rmSync(from, { recursive: true, force: true });
    });
  }

  private async try(key: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      this.options.onNote(`the snapshot ${key} stays where it is: ${asNemoError(thrown).message}`);
    }
  }

  private now(): number {
    return (this.options.nowMs ?? Date.now)();
  }
}

function storageFull(path: string, remedy: string, cause?: unknown): NemoError {
  return new NemoError('STORAGE_FULL', `no snapshot is made: the disk of ${path} is full`, {
    hint: `${remedy}, or set stateDir, or microvm.snapshots.stores, to another disk`,
    ...(cause === undefined ? {} : { cause }),
  });
}
