/**
 * Snapshots of machines that have loaded their function and not called it. One holds the function's code and
 * environment, so it fits only that name with that code and those settings, and goes when any of them changes. Made
 * beside the sandboxes, in a machine that runs only when the core has nothing else to do.
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cgroup } from '../../linux/cgroup/driver.js';
import { asNemoError } from '../../model/errors.js';
import type { FunctionSpec } from '../../model/function.js';
import { keyInPath } from '../../model/function-ref.js';
import type { LoadOptions } from '../../sandbox/engine.js';
import type { OpenSnapshot } from '../../snapshots/snapshot.js';
import type { MadeBy } from '../../snapshots/snapshot-files.js';
import { MICROVM, SANDBOX, SNAPSHOT } from '../../tunables/index.js';
import type { BaseSnapshot, BaseSnapshots, BaseSnapshotsOptions } from './base-snapshots.js';
import { loadInMachine } from './load-in-machine.js';
import { makeSnapshot } from './make-snapshot.js';
import { microvmVariant } from './variant.js';

const PREFIX = 'function-';

/** What it is loaded with, by which it is told apart. */
interface Identity {
  code: string;
  settings: string;
}

/** A function that is loaded into stems now and then. */
interface Candidate extends Identity {
  loads: number;
  loadedMs: number;
  /** Making failed: not again until it changes. */
  failed: boolean;
}

export interface OpenFunction extends BaseSnapshot {
  snapshot: OpenSnapshot;
}

export class FunctionSnapshots {
  private readonly candidates = new Map<string, Candidate>();
  /** By the key of its snapshot, as they should be; undefined until somebody says so. */
  private current: Map<string, Identity> | undefined;
  private makingMs: number = SNAPSHOT.makingMs;
  /** Of a start from a snapshot until the machine answers, as it was lately. */
  private startMs = 0;
  private making: { cgroup: Cgroup } | undefined;
  private makings = 0;
  private closed = false;

  constructor(
    private readonly stems: BaseSnapshots,
    private readonly options: BaseSnapshotsOptions,
  ) {}

  /** Undefined where there is none that fits. */
  async open(load: LoadOptions): Promise<OpenFunction | undefined> {
    const { snapshots } = this.options;
    const key = snapshotKeyOf(load.ref.key);
    if (snapshots.madeByOf(key) === undefined) return undefined;
    const stem = await this.stems.look(heapMbOf(load));
    if (!snapshots.has(key, madeBy(stem, await identityOf(load)))) return undefined;
    return { ...stem, snapshot: snapshots.open(key) };
  }

  /** Whether a start from a snapshot is quicker than a load into a stem that is there. */
  async restores(load: LoadOptions): Promise<boolean> {
    const known = this.options.snapshots.list().find(({ key }) => key === snapshotKeyOf(load.ref.key));
    if (known === undefined || known.savedMs <= this.startMs) return false;
    const stem = await this.stems.look(heapMbOf(load));
    return this.options.snapshots.has(known.key, madeBy(stem, await identityOf(load)));
  }

  /** A machine went on from a snapshot. */
  started(tookMs: number): void {
    this.startMs = this.startMs === 0 ? tookMs : 0.8 * this.startMs + 0.2 * tookMs;
  }

  /** A stem has loaded a function. Begins to make a snapshot if it is worth that; one at a time. */
  async loaded(load: LoadOptions, code: Buffer, tookMs: number): Promise<void> {
    const identity = identify(load, sha256(code));
    const functionKey = load.ref.key;
    const snapshotKey = snapshotKeyOf(functionKey);
    const candidate = this.candidate(functionKey, identity);
    candidate.loads = candidate.loads * decay(Date.now() - candidate.loadedMs) + 1;
    candidate.loadedMs = Date.now();
    if (candidate.failed || this.making !== undefined || this.closed) return;
    // It would only hold up the snapshots of others.
    if (tookMs >= SANDBOX.loadTimeoutMs) return;
    const { snapshots, onNote } = this.options;
    const stem = await this.stems.look(heapMbOf(load));
    const known = snapshots.list().find(({ key }) => key === stem.key);
    if (
      known === undefined ||
      this.making !== undefined ||
      snapshots.has(snapshotKey, madeBy(stem, identity))
    )
      return;
    const facts = { key: snapshotKey, bytes: known.bytes, savedMs: tookMs, needed: false };
    if (!snapshots.worthMaking({ ...facts, accesses: candidate.loads }, this.makingMs)) return;
    const startMs = performance.now();
    try {
      await this.make(load, identity, code, stem, tookMs);
      this.makingMs = performance.now() - startMs;
      onNote(`a snapshot of the loaded function ${functionKey} was made in ${Math.round(this.makingMs)} ms`);
    } catch (thrown) {
      candidate.failed = true;
      const why = asNemoError(thrown).message;
      if (!this.closed) onNote(`no snapshot of the loaded function ${functionKey} was made: ${why}`);
    }
  }

  /** A machine that went on from it did not get as far as its function: no other shall. */
  spoilt(functionKey: string): void {
    const candidate = this.candidates.get(functionKey);
    if (candidate !== undefined) candidate.failed = true;
    this.options.snapshots.remove(snapshotKeyOf(functionKey));
    this.options.onNote(
      `the snapshot of the loaded function ${functionKey} is not used any more: a start failed`,
    );
  }

  /** These are the functions there are. */
  retain(functions: readonly FunctionSpec[]): void {
    const of = ({ codeHash, ...spec }: FunctionSpec) =>
      [snapshotKeyOf(spec.ref.key), identify(spec, codeHash)] as const;
    this.current = new Map(functions.map(of));
    for (const { key } of this.options.snapshots.list()) if (key.startsWith(PREFIX)) this.removeStale(key);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.making?.cgroup.kill().catch(() => {});
  }

  private removeStale(key: string): void {
    if (this.current === undefined) return;
    const { snapshots } = this.options;
    const made = snapshots.madeByOf(key);
    const wanted = this.current.get(key);
    if (made?.code !== wanted?.code || made?.settings !== wanted?.settings) snapshots.remove(key);
  }

  private candidate(name: string, identity: Identity): Candidate {
    const known = this.candidates.get(name);
    this.candidates.delete(name);
    const same = known?.code === identity.code && known.settings === identity.settings;
    const candidate = same ? known : { ...identity, loads: 0, loadedMs: 0, failed: false };
    this.candidates.set(name, candidate);
    const [oldest] = this.candidates.keys();
    if (this.candidates.size > SNAPSHOT.candidatesMax) this.candidates.delete(oldest!);
    return candidate;
  }

  private async make(
    load: LoadOptions,
    identity: Identity,
    code: Buffer,
    stem: BaseSnapshot,
    savedMs: number,
  ): Promise<void> {
    const { snapshots, driver, cores, runDir, runtime, uid, setApart } = this.options;
    const name = `microvm-load-${++this.makings}`;
    const memoryMaxBytes = stem.memoryMb * 2 ** 20 + 2 * MICROVM.hostBytes;
    const making = { cgroup: driver.create(name, { memoryMaxBytes, pidsMax: 64, cpus: cores }) };
    this.making = making;
    const key = snapshotKeyOf(load.ref.key);
    // QEMU that was taken over could take its time for each answer.
    const late = setTimeout(() => void making.cgroup.kill().catch(() => {}), SNAPSHOT.makingMaxMs).unref();
    try {
      const stemFiles = snapshots.reserve(stem.key);
      const { directory: from } = stemFiles;
      const spec = {
        spec: stem,
        files: stem.files,
        from,
        cgroup: making.cgroup,
        scheduling: 'idle',
      } as const;
      const machine = { runDirectory: join(runDir, name), runtime: runtime(), uid, setApart };
      await snapshots
        .ensure(key, madeBy(stem, identity), stem.memoryMb * 2 ** 20, async (directory) => {
          await makeSnapshot({ ...spec, ...machine, directory }, (child, qmp) =>
            loadInMachine(child, qmp, load, code),
          );
          return savedMs;
        })
        .finally(stemFiles.over);
    } finally {
      clearTimeout(late);
      this.making = undefined;
      await making.cgroup.remove();
    }
    // It may have been removed or changed meanwhile.
    this.removeStale(key);
  }
}

/** It is the name of a folder, too. */
function snapshotKeyOf(functionKey: string): string {
  return PREFIX + keyInPath(functionKey);
}

function heapMbOf({ memoryBytes }: LoadOptions): number {
  return Number(microvmVariant(memoryBytes));
}

function madeBy(stem: BaseSnapshot, identity: Identity): MadeBy {
  return { ...stem.madeBy, ...identity };
}

async function identityOf(load: LoadOptions): Promise<Identity> {
  return identify(load, sha256(await readFile(load.bundlePath)));
}

type Settings = Pick<LoadOptions, 'ref' | 'env' | 'concurrency'>;

function identify({ ref, env, concurrency = 1 }: Settings, code: string): Identity {
  const variables = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  return { code, settings: sha256(JSON.stringify([ref.key, concurrency, variables])) };
}

function sha256(of: Buffer | string): string {
  return createHash('sha256').update(of).digest('hex');
}

function decay(elapsedMs: number): number {
  return 0.5 ** (elapsedMs / SNAPSHOT.halfLifeMs);
}
