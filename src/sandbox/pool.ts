/**
 * The pool makes, loads, moves and ends sandboxes. It knows nothing of queues: the dispatcher asks it for workers,
 * and policies tell it what to make ahead. A worker is in exactly one of: `stems`, a function's list, or ending.
 *
 *   make() -> stem -> load(spec) -> warm -> end()
 *
 * A stem serves only functions of its own kind (see `Engines.stemKind`); one that has imported packages, only those
 * that import these too (see `Zygotes`).
 */

import type { SandboxSlots } from '../control/sandbox-slots.js';
import { asNemoError, NemoError } from '../errors.js';
import type { FunctionScheduling } from '../harvest/policies.js';
import type { FunctionSpec, LogLine } from '../invoke/function.js';
import { Worker } from '../invoke/worker.js';
import type { CgroupDriver } from '../linux/cgroup/driver.js';
import { POOL } from '../tunables.js';
import { type Commitment, committedBytes } from './admission/capacity.js';
import type { LoadOptions, SandboxExit, StoredPackage } from './engine.js';
import type { Engines, StemKind } from './engines/engines.js';
import { ALONE } from './engines/sharing.js';
import type { PackageRef } from './packages/pack.js';
import { RecentTimes } from './recent-times.js';
import { SourceNames } from './source-names.js';
import { isZygote, type ZygoteKind, Zygotes } from './zygotes.js';

export interface PoolOptions {
  engines: Engines;
  driver: CgroupDriver;
  control: SandboxSlots;
  scheduling: FunctionScheduling;
  bundlePath: (spec: FunctionSpec) => string;
  packagePath: (hash: string) => string;
  /** Most that the limits of all sandboxes may come to. Default: no bound. */
  memoryMaxBytes?: number;
  /** Ends idle sandboxes until nothing is lacking for one of so many bytes, as far as there are any. */
  makeRoom?: (bytes: number, kind?: StemKind) => Promise<void>;
  onLog: (line: LogLine) => void;
  /** A sandbox is gone; `exit` says why. The worker is already out of the pool. */
  onEnded: (worker: Worker, exit: SandboxExit) => void;
}

export class Pool {
  /** Ready stems of all kinds. */
  readonly stems: Worker[] = [];
  readonly workers = new Map<string, Worker>();
  /** Stems being made ahead, by their key. */
  readonly stemsStarting = new Map<string, number>();
  /** When calls asked for a new sandbox, by the key of its stem. */
  readonly asked = new Map<string, RecentTimes>();
  readonly zygotes = new Zygotes();
  private readonly names = new SourceNames();
  /** The ageing clock of keep-alive policies (see `IdleSandbox`). */
  clock = 0;
  private counter = 0;
  private closed = false;
  /** Kinds of engine whose sandboxes share a process with others of the same variant. */
  private readonly sharing = new Set<string>();

  constructor(private readonly options: PoolOptions) {}

  /** How much has to be freed before a sandbox with a limit of so many bytes can be made; 0 or less: nothing. */
  lackingBytes(bytes: number, kind?: StemKind): number {
    const onHost = process.availableMemory() - POOL.reserveBytes;
    const { memoryMaxBytes } = this.options;
    const underCap =
      memoryMaxBytes === undefined
        ? Number.NEGATIVE_INFINITY
        : this.committedBytes(bytes, kind) - memoryMaxBytes;
    return Math.max(underCap, Math.min(bytes, POOL.residentBytes) - onHost);
  }

  /** What all limits come to, with one more sandbox of so many bytes. */
  committedBytes(bytes = 0, kind?: StemKind): number {
    const commitments = [this.commitment(bytes, kind)];
    for (const { state, memoryBytes, stemKind } of this.workers.values())
      if (state !== 'ending') commitments.push(this.commitment(memoryBytes, stemKind));
    return committedBytes(commitments, this.options.driver.sharedMemoryMaxBytes);
  }

  /** A function can fill all of its limit, also what the engine has there for itself. */
  private commitment(bytes: number, kind?: StemKind): Commitment {
    if (kind === undefined) return { bytes, processBytes: 0, share: undefined };
    const { sandbox, process } = this.options.engines.ownBytes(kind.engine);
    return { bytes: bytes + sandbox, processBytes: process, share: this.shareOf(kind) };
  }

  private shareOf({ engine, variant }: StemKind): string | undefined {
    return this.sharing.has(engine) && variant !== ALONE ? `${engine}:${variant}` : undefined;
  }

  /** What ending everything that serves nothing would give. */
  evictableBytes(): number {
    let bytes = 0;
    for (const { state, idle, memoryBytes, stemKind } of this.workers.values()) {
      if (!(state === 'warm' && idle) && state !== 'stem') continue;
      const { bytes: own, processBytes, share } = this.commitment(memoryBytes, stemKind);
      bytes += share === undefined ? own + processBytes : own;
    }
    return bytes;
  }

  /** A call needs a sandbox of this kind that is not there. */
  noteAsked({ key }: StemKind): void {
    const asked = this.asked.get(key) ?? new RecentTimes();
    this.asked.set(key, asked);
    asked.record(performance.now());
  }

  /**
   * Starts a stem on a core, for a call (idle sandboxes make room for it then) or ahead of calls; with `spec` for that
   * function only. Rejects with SANDBOX_START or NO_CAPACITY; leaves nothing behind then.
   */
  async make(
    core: number,
    kind: StemKind,
    bytes: number = POOL.memoryMaxDefaultBytes,
    forCall = false,
    spec?: FunctionSpec,
  ): Promise<Worker> {
    if (forCall && this.lackingBytes(bytes, kind) > 0) await this.options.makeRoom?.(bytes, kind);
    const engine = await this.options.engines.get(kind.engine);
    if (engine.processGroup !== undefined) this.sharing.add(kind.engine);
    if (this.closed) throw new NemoError('STOPPING', 'the agent is stopping');
    if (this.lackingBytes(bytes, kind) > 0) {
      throw new NemoError('NO_CAPACITY', 'too little memory is available for another sandbox', {
        hint: 'remove functions that are not needed, lower their memory, or set pool.memory or pool.overcommit',
      });
    }
    const { driver, control, scheduling } = this.options;
    const id = `sb-${++this.counter}`;
    const limits = { memoryMaxBytes: POOL.memoryMaxDefaultBytes, pidsMax: POOL.pidsMax, cpus: [core] };
    const processGroup = await engine.processGroup?.(kind.variant, scheduling);
    const cgroup = driver.create(id, limits, processGroup);
    let slot = -1;
    try {
      slot = control.addSandbox(core, cgroup.handle);
      const worker = new Worker(id, kind, core, slot, cgroup, performance.now());
      worker.memoryBytes = bytes;
      this.workers.set(id, worker);
      const sandbox = await engine.start({
        id,
        cgroup,
        variant: kind.variant,
        scheduling,
        ...(processGroup === undefined ? {} : { processGroup }),
        ...(spec === undefined ? {} : { willLoad: this.loadOptions(spec) }),
        ...(isZygote(kind) ? { packages: this.stored(kind.packages) } : {}),
        onLog: (line) => this.log(worker, line),
      });
      worker.sandbox = sandbox;
      if (sandbox.preloaded) worker.madeFor = spec;
      worker.state = 'stem';
      control.setBusy(slot, false);
      void sandbox.exited.then((exit) => this.forget(worker, exit));
      if (this.closed) throw new NemoError('STOPPING', 'the agent is stopping');
      return worker;
    } catch (thrown) {
      const worker = this.workers.get(id);
      if (worker?.sandbox !== undefined) await this.end(worker);
      else {
        this.workers.delete(id);
        if (slot >= 0) control.removeSandbox(slot);
        await cgroup.remove();
      }
      throw asNemoError(thrown);
    }
  }

  /** Gives a stem its code. Rejects with BAD_FUNCTION or FUNCTION_LOAD; the worker is ended then. */
  async load(worker: Worker, spec: FunctionSpec): Promise<void> {
    const sandbox = worker.sandbox!;
    worker.state = 'loading';
    worker.spec = spec;
    worker.memoryBytes = spec.memoryBytes;
    this.options.control.setBusy(worker.slot, true);
    try {
      await sandbox.load(this.loadOptions(spec));
      worker.state = 'warm';
      worker.warmSinceMs = performance.now();
      worker.lastUsedMs = worker.warmSinceMs;
      worker.clockAtUse = this.clock;
    } catch (thrown) {
      const error = asNemoError(thrown);
      this.nameSources(spec, error);
      await this.end(worker);
      throw error;
    } finally {
      if (this.workers.has(worker.id)) this.options.control.setBusy(worker.slot, false);
    }
  }

  private loadOptions(spec: FunctionSpec): LoadOptions {
    const { name, env, memoryBytes, timeoutMs, concurrency, packages, egress } = spec;
    return {
      ...{ functionName: name, bundlePath: this.options.bundlePath(spec) },
      ...{ env, memoryBytes, timeoutMs, concurrency },
      ...(packages === undefined ? {} : { packages: this.stored(packages) }),
      ...(egress === undefined ? {} : { egress }),
    };
  }

  /** A stem for a function, unless its engine has the function loaded in a snapshot, which is quicker. */
  async takeStemFor(spec: FunctionSpec, preferredCore: number): Promise<Worker | undefined> {
    const engine = await this.options.engines.get(spec.engine);
    if (await engine.restores?.(this.loadOptions(spec))) return undefined;
    return this.takeStem(preferredCore, spec);
  }

  /** Keeps a ready stem; it may have ended meanwhile. */
  addStem(worker: Worker): void {
    if (worker.state === 'stem' && this.workers.has(worker.id)) this.stems.push(worker);
  }

  private stored(packages: readonly PackageRef[]): StoredPackage[] {
    return packages.map((one) => ({ ...one, path: this.options.packagePath(one.hash) }));
  }

  private ownNames(spec: FunctionSpec, text: string): string {
    return this.names.restore(this.options.bundlePath(spec), text);
  }

  /** An error of a function's is to name its own files. */
  nameSources(spec: FunctionSpec, error: NemoError): void {
    this.names.restoreError(this.options.bundlePath(spec), error);
  }

  private log(worker: Worker, line: Omit<LogLine, 'functionName'>): void {
    const { stemKind: kind, functionName } = worker;
    if (functionName !== '' || !isZygote(kind)) {
      const text = worker.spec === undefined ? line.text : this.ownNames(worker.spec, line.text);
      this.options.onLog({ ...line, text, functionName });
    } else {
      // What packages print belongs into the log of the function that imports them.
      this.zygotes.printed(kind);
      void this.end(worker);
    }
  }

  /** Makes a stem ahead of calls and keeps it, unless it turns out to be of no use. Rejects as `make`. */
  async makeStem(core: number, kind: StemKind): Promise<void> {
    const { key } = kind;
    const count = (by: number) => this.stemsStarting.set(key, (this.stemsStarting.get(key) ?? 0) + by);
    count(1);
    try {
      const stem = await this.make(core, kind);
      if (isZygote(kind)) await this.requireUsable(stem, kind);
      this.addStem(stem);
    } finally {
      count(-1);
    }
  }

  private async requireUsable(stem: Worker, kind: ZygoteKind): Promise<void> {
    // What it printed before it was ready is read by then: the pipe is looked at once more.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
    const imported = this.zygotes.imported(kind, stem.sandbox!.ahead);
    if (imported.ok) return;
    await this.end(stem);
    throw new NemoError('FUNCTION_LOAD', `its code ${imported.why}`);
  }

  /** The stems without packages that fit a function. */
  stemKind(spec: FunctionSpec): StemKind {
    return this.options.engines.stemKind(spec);
  }

  /** How much of the function's loading a stem of that kind saves, ms; undefined: it must not serve it. */
  saves(kind: StemKind, spec: FunctionSpec): number | undefined {
    if (isZygote(kind)) return this.zygotes.saves(kind, spec);
    return kind.key === this.stemKind(spec).key ? 0 : undefined;
  }

  /** Of the stems that fit and save most, one that is on that core already if there is one. */
  takeStem(preferredCore: number, spec: FunctionSpec): Worker | undefined {
    for (;;) {
      let stem: Worker | undefined;
      let most = -1;
      for (const one of this.stems) {
        const saved = this.saves(one.stemKind, spec) ?? -1;
        if (saved < most || saved < 0 || (saved === most && one.core !== preferredCore)) continue;
        stem = one;
        most = saved;
      }
      if (stem === undefined) return undefined;
      this.dropStem(stem);
      if (this.move(stem, preferredCore)) return stem;
    }
  }

  /** Ready and starting stems of a kind. */
  stemCount(key: string): number {
    const ready = this.stems.filter((stem) => stem.stemKind.key === key).length;
    return ready + (this.stemsStarting.get(key) ?? 0);
  }

  /** Pins a worker to another core, in place. False if it is ending: its group is gone or about to go. */
  move(worker: Worker, core: number): boolean {
    if (worker.state === 'ending') return false;
    if (worker.core === core) return true;
    try {
      worker.cgroup.setCpus([core]);
    } catch {
      void this.end(worker);
      return false;
    }
    worker.core = core;
    this.options.control.moveSandbox(worker.slot, core);
    return true;
  }

  /** How much of the core the worker gets next to others. A sandbox that is gone has no weight. */
  setWeight(worker: Worker, weight: Worker['weight']): void {
    if (worker.weight === weight || worker.state === 'ending') return;
    worker.weight = weight;
    try {
      worker.cgroup.setWeight(weight);
    } catch {
      // It ended in this moment; the pool hears of it.
    }
  }

  /** Ends a sandbox; calls in it fail with `reason`. Resolves when nothing of it is left. */
  async end(worker: Worker, reason?: NemoError): Promise<void> {
    const { sandbox } = worker;
    // One that still starts is ended by `make`, or by its engine.
    if (sandbox === undefined) return;
    if (worker.state !== 'ending') {
      worker.state = 'ending';
      this.dropStem(worker);
      void sandbox.kill(reason);
    }
    await sandbox.exited;
  }

  private forget(worker: Worker, exit: SandboxExit): void {
    if (!this.workers.delete(worker.id)) return;
    const unused = worker.state === 'stem';
    worker.state = 'ending';
    this.dropStem(worker);
    // Nobody ended it: its packages did.
    if (unused && isZygote(worker.stemKind)) this.zygotes.failed(worker.stemKind, performance.now());
    this.options.control.removeSandbox(worker.slot);
    this.options.onEnded(worker, exit);
  }

  private dropStem(worker: Worker): void {
    const index = this.stems.indexOf(worker);
    if (index >= 0) this.stems.splice(index, 1);
  }

  /** Ends every sandbox. */
  async close(): Promise<void> {
    this.closed = true;
    const reason = new NemoError('STOPPING', 'the agent stopped while the call ran');
    await Promise.all([...this.workers.values()].map((worker) => this.end(worker, reason)));
  }
}
