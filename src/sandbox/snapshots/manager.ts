/**
 * Snapshots of machines: made once, kept on disk across agents, the valuable ones also in memory, within budgets. Machines
 * map the sealed copy in memory, or the file, opened for reading only: none can change what others start from. A
 * snapshot is a folder that appears whole or not at all:
 *
 *   <key>/memory           the machine's memory
 *         devices          the state of its devices
 *         meta.json        what made it: one from anything else is not used
 *         working-set.json the pages that a start needs, once one was seen
 */

import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { asNemoError, isStorageFull, NemoError } from '../../errors.js';
import { SNAPSHOT } from '../../tunables.js';
import { byValue } from './by-value.js';
import { loadIntoMemory } from './memory-file.js';
import type { SnapshotBudgets, SnapshotFacts, SnapshotPolicy } from './policy.js';
import { bytesOf, readAhead, touchedPages, type WorkingSet } from './working-set.js';

const SCHEMA = 'nemo.snapshot/1';
const MAKING = '.making-';
const WORKING_SET = 'working-set.json';

/** Everything that has to be the same for a snapshot to fit, by name. */
export type MadeBy = Readonly<Record<string, string | number>>;

interface Meta {
  schema: string;
  madeBy: MadeBy;
  savedMs: number;
}

export interface SnapshotManagerOptions {
  directory: string;
  budgets: SnapshotBudgets;
  policy?: SnapshotPolicy;
  /** Something an operator should know, one line. */
  onNote: (line: string) => void;
  nowMs?: () => number;
}

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
  /** The machine that these processes are has given its first answer. */
  answered(pids: () => readonly number[]): void;
}

export type Tier = 'memory' | 'disk';

interface Snapshot {
  key: string;
  directory: string;
  meta: Meta;
  bytes: number;
  memoryFd: number | undefined;
  accesses: number;
  accessedMs: number;
  /** Starts from it under way. */
  opening: number;
  workingSet: WorkingSet | undefined;
}

export class SnapshotManager {
  private readonly snapshots = new Map<string, Snapshot>();
  private readonly making = new Map<string, Promise<void>>();
  private readonly policy: SnapshotPolicy;
  private placing: Promise<void> = Promise.resolve();
  private closed = false;

  /** Reads what is there; what a killed agent left half made is removed. */
  constructor(private readonly options: SnapshotManagerOptions) {
    this.policy = options.policy ?? byValue;
    const { directory } = options;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const meta = name.startsWith(MAKING) ? undefined : readMeta(path);
      if (meta === undefined) rmSync(path, { recursive: true, force: true });
      else this.add(name, path, meta);
    }
  }

  /** Whether there is one that fits. One that does not is removed, with a word about why. */
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
   * without it costs. Several that ask at once wait for the same. `bytes`: the room it may need.
   */
  async ensure(
    key: string,
    madeBy: MadeBy,
    bytes: number,
    make: (directory: string) => Promise<number>,
  ): Promise<void> {
    if (this.has(key, madeBy)) return;
    let making = this.making.get(key);
    if (making === undefined) {
      making = this.make(key, madeBy, bytes, make).finally(() => this.making.delete(key));
      this.making.set(key, making);
    }
    await making;
  }

  /** Whether the policy wants one that is not there. */
  worthMaking(candidate: SnapshotFacts, makingMs: number): boolean {
    const others = [...this.snapshots.values()].map((one) => this.facts(one));
    return this.policy.make(candidate, makingMs, others, this.options.budgets);
  }

  directoryOf(key: string): string {
    return join(this.options.directory, key);
  }

  madeByOf(key: string): MadeBy | undefined {
    return this.snapshots.get(key)?.meta.madeBy;
  }

  /** For one start. NOT_FOUND where there is none (any more). */
  open(key: string): OpenSnapshot {
    const snapshot = this.snapshots.get(key);
    if (snapshot === undefined) throw new NemoError('NOT_FOUND', `there is no snapshot ${key}`);
    const { directory, memoryFd: held, workingSet } = snapshot;
    const path = join(directory, 'memory');
    const memoryFd = openSync(held === undefined ? path : `/proc/self/fd/${held}`, 'r');
    const { ino } = fstatSync(memoryFd);
    const devicesFd = openSync(join(directory, 'devices'), 'r');
    if (held === undefined && workingSet !== undefined) readAhead(path, workingSet).catch(() => {});
    this.count(snapshot);
    snapshot.opening++;
    let over = false;
    return {
      ...{ memoryFd, devicesFd, tier: held === undefined ? 'disk' : 'memory' },
      close() {
        closeSync(memoryFd);
        closeSync(devicesFd);
      },
      over: () => {
        if (over) return;
        over = true;
        snapshot.opening--;
        // Not before: it would read beside the machine.
        this.placing = this.placing.then(() => this.place());
      },
      answered: (pids) => this.learn(snapshot, pids, ino),
    };
  }

  /** Resolves when every snapshot is where the policy wants it. */
  placed(): Promise<void> {
    return this.placing;
  }

  remove(key: string): void {
    const snapshot = this.snapshots.get(key);
    if (snapshot === undefined) return;
    this.snapshots.delete(key);
    this.letGo(snapshot);
    // Machines that run from it keep what they have open.
    rmSync(snapshot.directory, { recursive: true, force: true });
  }

  /** For operators. */
  list(): Array<SnapshotFacts & { tier: Tier; workingSetBytes: number | undefined }> {
    return [...this.snapshots.values()].map((one) => ({
      ...this.facts(one),
      tier: one.memoryFd === undefined ? 'disk' : 'memory',
      workingSetBytes: one.workingSet && bytesOf(one.workingSet),
    }));
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.allSettled(this.making.values());
    await this.placing;
    for (const snapshot of this.snapshots.values()) this.letGo(snapshot);
    this.snapshots.clear();
  }

  private async make(
    key: string,
    madeBy: MadeBy,
    bytes: number,
    make: (directory: string) => Promise<number>,
  ): Promise<void> {
    const { directory } = this.options;
    const path = join(directory, `${MAKING}${key}`);
    const place = this.directoryOf(key);
    try {
      rmSync(path, { recursive: true, force: true });
      this.makeRoom(key, bytes);
      mkdirSync(path, { mode: 0o700 });
      const savedMs = await make(path);
      const meta: Meta = { schema: SCHEMA, madeBy, savedMs };
      writeFileSync(join(path, 'meta.json'), JSON.stringify(meta), { mode: 0o600 });
      rmSync(place, { recursive: true, force: true });
      renameSync(path, place);
      this.count(this.add(key, place, meta));
      this.placing = this.placing.then(() => this.place());
    } catch (thrown) {
      rmSync(path, { recursive: true, force: true });
      throw diskFull(thrown, directory) ?? thrown;
    }
    await this.placing;
  }

  /** Throws SANDBOX_START where the disk has no room even without the least valuable snapshots. */
  private makeRoom(key: string, bytes: number): void {
    const { directory, budgets } = this.options;
    const wanted: SnapshotFacts = { key, bytes, savedMs: 1, accesses: 1, needed: true };
    const others = [...this.snapshots.values()].map((one) => this.facts(one));
    const { evict } = this.policy.place([...others, wanted], budgets);
    for (const one of evict) this.remove(one);
    const free = (): number => {
      const { bavail, bsize } = statfsSync(directory);
      return bavail * bsize - SNAPSHOT.diskReserveBytes;
    };
    for (const one of others.filter(({ needed }) => !needed).sort((a, b) => a.accesses - b.accesses)) {
      if (free() >= bytes) return;
      this.remove(one.key);
    }
    if (free() >= bytes) return;
    throw new NemoError('STORAGE_FULL', `no snapshot is made: the disk of ${directory} is full`, {
      hint: `free ${Math.ceil((bytes + SNAPSHOT.diskReserveBytes) / 1e6)} MB there, or set stateDir to another disk`,
    });
  }

  private add(key: string, directory: string, meta: Meta): Snapshot {
    const { blocks } = statSync(join(directory, 'memory'));
    const snapshot: Snapshot = {
      ...{ key, directory, meta, bytes: blocks * 512 },
      ...{ memoryFd: undefined, accesses: 0, accessedMs: this.now(), opening: 0 },
      workingSet: readJson<WorkingSet>(join(directory, WORKING_SET)),
    };
    this.snapshots.set(key, snapshot);
    return snapshot;
  }

  private count(snapshot: Snapshot): void {
    snapshot.accesses = this.decayed(snapshot) + 1;
    snapshot.accessedMs = this.now();
  }

  /** Once: what the first machine touched, any other will. */
  private learn(snapshot: Snapshot, pids: () => readonly number[], inode: number): void {
    if (snapshot.workingSet !== undefined) return;
    try {
      const pages = touchedPages(pids(), inode);
      if (pages === undefined) return;
      writeFileSync(join(snapshot.directory, WORKING_SET), JSON.stringify(pages), { mode: 0o600 });
      snapshot.workingSet = pages;
    } catch {
      // It has ended, or was removed: the next one will tell.
    }
  }

  private decayed({ accesses, accessedMs }: Snapshot): number {
    return accesses * 0.5 ** ((this.now() - accessedMs) / SNAPSHOT.halfLifeMs);
  }

  private facts(snapshot: Snapshot): SnapshotFacts {
    const { key, bytes, meta, opening } = snapshot;
    const accesses = this.decayed(snapshot);
    return { key, bytes, savedMs: meta.savedMs, accesses, needed: opening > 0 };
  }

  /** Carries out what the policy says. What nobody has used yet is not read into memory. */
  private async place(): Promise<void> {
    const used = [...this.snapshots.values()].map((one) => this.facts(one));
    const { memory, evict } = this.policy.place(used, this.options.budgets);
    for (const key of evict) this.remove(key);
    for (const snapshot of this.snapshots.values()) {
      if (!memory.has(snapshot.key)) this.letGo(snapshot);
      else if (snapshot.memoryFd === undefined && snapshot.accesses > 0 && !this.closed) {
        try {
          snapshot.memoryFd = await loadIntoMemory(
            join(snapshot.directory, 'memory'),
            `nemo-${snapshot.key}`,
          );
        } catch (thrown) {
          this.options.onNote(`the snapshot ${snapshot.key} stays on disk: ${asNemoError(thrown).message}`);
        }
      }
    }
  }

  private letGo(snapshot: Snapshot): void {
    if (snapshot.memoryFd !== undefined) closeSync(snapshot.memoryFd);
    snapshot.memoryFd = undefined;
  }

  private now(): number {
    return (this.options.nowMs ?? Date.now)();
  }
}

function readMeta(directory: string): Meta | undefined {
  const meta = readJson<Meta>(join(directory, 'meta.json'));
  const whole = ['memory', 'devices'].every((name) => existsSync(join(directory, name)));
  return meta?.schema === SCHEMA && whole ? meta : undefined;
}

function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

/** The first thing that is not the same, in words. */
function difference(was: MadeBy, is: MadeBy): string | undefined {
  for (const name of new Set([...Object.keys(was), ...Object.keys(is)]))
    if (was[name] !== is[name]) return `${name} (${was[name] ?? 'none'}, now ${is[name] ?? 'none'})`;
  return undefined;
}

function diskFull(thrown: unknown, directory: string): NemoError | undefined {
  if (!isStorageFull(thrown)) return undefined;
  return new NemoError('STORAGE_FULL', `no snapshot is made: the disk of ${directory} is full`, {
    hint: 'free some room there, or set stateDir to another disk',
    cause: thrown,
  });
}
