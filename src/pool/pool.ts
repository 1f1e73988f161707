/**
 * The pool makes, loads, moves and ends sandboxes. It knows nothing of queues: the dispatcher asks it for instances,
 * and policies tell it what to make ahead. An instance is in exactly one of: `stems`, a function's list, or ending.
 *
 *   make() -> stem -> load(spec) -> warm -> end()
 *
 * A stem serves only functions of its own kind (see `Engines.stemKind`), or those that its `StemSource` says.
 */

import type { SandboxSlots } from '../control/sandbox-slots.js';
import type { StemKind } from '../engine/engines.js';
import type { Cgroup, CgroupDriver } from '../linux/cgroup/driver.js';
import { type Clock, realClock } from '../model/clock.js';
import { asNemoError, NemoError } from '../model/errors.js';
import type { FunctionSpec, LogLine } from '../model/function.js';
import type { FunctionScheduling } from '../policy/harvest/policies.js';
import type { Engine, SandboxExit } from '../sandbox/engine.js';
import { POOL } from '../tunables/index.js';
import { type FilePaths, FunctionFiles } from './function-files.js';
import { Instance } from './instance.js';
import { MemoryRoom } from './memory-room.js';
import type { StemSource } from './stem-source.js';
import { Stems } from './stems.js';

/** The engines as the pool knows them: `Engines` on a box. */
export interface EngineSource {
  get(kind: string): Promise<Engine>;
  stemKind(spec: FunctionSpec): StemKind;
  /** As `EngineEntry.ownBytes`. */
  ownBytes(kind: string): { sandbox: number; process: number };
}

export interface PoolOptions extends FilePaths {
  /** Default: the real one. */
  clock?: Clock;
  engines: EngineSource;
  driver: Pick<CgroupDriver, 'create' | 'sharedMemoryMaxBytes'>;
  control: SandboxSlots;
  scheduling: FunctionScheduling;
  /** Stems that do some of a function's loading ahead. Default: all stems are plain. */
  stemSource?: StemSource | undefined;
  /** Most that the limits of all sandboxes may come to. Default: no bound. */
  memoryMaxBytes?: number;
  /** What the host could give now. Default: what the kernel says. */
  availableBytes?: () => number;
  /** The limit of a sandbox without code. Default: POOL.memoryMaxDefaultBytes. */
  stemBytes?: number;
  /** Ends idle sandboxes until nothing is lacking for one of so many bytes, as far as there are any. */
  makeRoom?: (bytes: number, kind?: StemKind) => Promise<void>;
  onLog: (line: LogLine) => void;
  /** A sandbox is gone; `exit` says why. The instance is already out of the pool. */
  onEnded: (instance: Instance, exit: SandboxExit) => void;
}

export class Pool {
  readonly instances = new Map<string, Instance>();
  readonly files: FunctionFiles;
  readonly stems: Stems;
  /** The ageing clock of keep-alive policies (see `IdleSandbox`). */
  clock = 0;
  private counter = 0;
  private closed = false;
  private readonly room: MemoryRoom;
  private readonly time: Clock;
  readonly stemBytes: number;

  constructor(private readonly options: PoolOptions) {
    this.time = options.clock ?? realClock;
    this.files = new FunctionFiles(options);
    this.room = new MemoryRoom({
      instances: this.instances,
      memoryMaxBytes: options.memoryMaxBytes,
      shareMaxBytes: options.driver.sharedMemoryMaxBytes,
      ownBytes: (engine) => options.engines.ownBytes(engine),
      availableBytes: options.availableBytes ?? (() => process.availableMemory()),
      makeRoom: options.makeRoom,
    });
    this.stemBytes = options.stemBytes ?? POOL.memoryMaxDefaultBytes;
    this.stems = new Stems({
      clock: this.time,
      source: options.stemSource,
      plainKind: (spec) => this.stemKind(spec),
      make: (core, kind) => this.make(core, kind),
      move: (stem, core) => this.move(stem, core),
      end: (stem) => this.end(stem),
    });
  }

  /** As `MemoryRoom.lackingBytes`. */
  lackingBytes(bytes: number, kind?: StemKind): number {
    return this.room.lackingBytes(bytes, kind);
  }

  /** What all limits come to. */
  get committedBytes(): number {
    return this.room.committedBytes;
  }

  /** What ending everything that serves nothing would give. */
  evictableBytes(): number {
    return this.room.evictableBytes();
  }

  /**
   * Starts a stem on a core, for a call (idle sandboxes make room for it then) or ahead of calls; with `spec` for that
   * function only. Rejects with SANDBOX_START or NO_CAPACITY; leaves nothing behind then.
   */
  async make(
    core: number,
    kind: StemKind,
    bytes: number = this.stemBytes,
    forCall = false,
    spec?: FunctionSpec,
  ): Promise<Instance> {
    const engine = await this.options.engines.get(kind.engine);
    if (engine.processGroup !== undefined) this.room.sharing.add(kind.engine);
    const reserved = await this.room.reserve(bytes, kind, forCall);
    const { driver, control, scheduling } = this.options;
    const id = `sb-${++this.counter}`;
    const limits = { memoryMaxBytes: POOL.memoryMaxDefaultBytes, pidsMax: POOL.pidsMax, cpus: [core] };
    let cgroup: Cgroup;
    let processGroup: Cgroup | undefined;
    try {
      if (this.closed) throw new NemoError('STOPPING', 'the agent is stopping');
      if (engine.processGroup !== undefined)
        processGroup = await engine.processGroup(kind.variant, scheduling);
      cgroup = driver.create(id, limits, processGroup);
    } finally {
      // From here on its instance counts.
      this.room.release(reserved);
    }
    let slot = -1;
    try {
      slot = control.addSandbox(core, cgroup.handle);
      const instance = new Instance(id, kind, core, slot, cgroup, this.time.nowMs());
      instance.memoryBytes = bytes;
      this.instances.set(id, instance);
      const imports = this.stems.importsOf(kind);
      const sandbox = await engine.start({
        id,
        cgroup,
        variant: kind.variant,
        scheduling,
        ...(processGroup === undefined ? {} : { processGroup }),
        ...(spec === undefined ? {} : { willLoad: this.files.loadOptions(spec) }),
        ...(imports === undefined ? {} : { packages: this.files.stored(imports) }),
        onLog: (line) => this.log(instance, line),
      });
      instance.sandbox = sandbox;
      if (sandbox.preloaded) instance.madeFor = spec;
      instance.state = 'stem';
      control.setBusy(slot, false);
      void sandbox.exited.then((exit) => this.forget(instance, exit));
      if (this.closed) throw new NemoError('STOPPING', 'the agent is stopping');
      return instance;
    } catch (thrown) {
      const instance = this.instances.get(id);
      if (instance?.sandbox !== undefined) await this.end(instance);
      else {
        this.instances.delete(id);
        if (slot >= 0) control.removeSandbox(slot);
        await cgroup.remove();
      }
      throw asStartError(asNemoError(thrown), id);
    }
  }

  /** Gives a stem its code. Rejects with BAD_FUNCTION or FUNCTION_LOAD; the instance is ended then. */
  async load(instance: Instance, spec: FunctionSpec): Promise<void> {
    const sandbox = instance.sandbox!;
    instance.state = 'loading';
    instance.spec = spec;
    instance.memoryBytes = spec.memoryBytes;
    this.options.control.setBusy(instance.slot, true);
    try {
      await sandbox.load(this.files.loadOptions(spec));
      instance.state = 'warm';
      instance.warmSinceMs = this.time.nowMs();
      instance.lastUsedMs = instance.warmSinceMs;
      instance.clockAtUse = this.clock;
    } catch (thrown) {
      const error = asNemoError(thrown);
      this.files.nameSources(spec, error);
      await this.end(instance);
      throw error;
    } finally {
      if (this.instances.has(instance.id)) this.options.control.setBusy(instance.slot, false);
    }
  }

  /**
   * A stem for a function. Undefined also where its engine has the function loaded in a snapshot, which is quicker, and where
   * there is no memory for what the function may use beyond the stem: whoever makes a sandbox for it makes room.
   */
  async takeStemFor(spec: FunctionSpec, preferredCore: number): Promise<Instance | undefined> {
    const engine = await this.options.engines.get(spec.engine);
    if (await engine.restores?.(this.files.loadOptions(spec))) return undefined;
    if (this.room.lackingBytes(spec.memoryBytes - this.stemBytes) > 0) return undefined;
    const stem = this.stems.take(preferredCore, spec);
    // Others are decided upon before its code is loaded.
    if (stem !== undefined) stem.memoryBytes = spec.memoryBytes;
    return stem;
  }

  private log(instance: Instance, line: Omit<LogLine, 'functionName'>): void {
    const { functionKey, spec } = instance;
    // What a stem does ahead is a function's, and would belong into its log.
    if (functionKey === '' && this.stems.printed(instance)) return;
    const text = spec === undefined ? line.text : this.files.ownNames(spec, line.text);
    this.options.onLog({ ...line, text, functionName: functionKey });
  }

  /** The plain stems that fit a function. */
  stemKind(spec: FunctionSpec): StemKind {
    return this.options.engines.stemKind(spec);
  }

  /** Pins an instance to another core, in place. False if it is ending: its group is gone or about to go. */
  move(instance: Instance, core: number): boolean {
    if (instance.state === 'ending') return false;
    if (instance.core === core) return true;
    try {
      instance.cgroup.setCpus([core]);
    } catch {
      void this.end(instance);
      return false;
    }
    instance.core = core;
    this.options.control.moveSandbox(instance.slot, core);
    return true;
  }

  /** How much of the core the instance gets next to others. A sandbox that is gone has no weight. */
  setWeight(instance: Instance, weight: Instance['weight']): void {
    if (instance.weight === weight || instance.state === 'ending') return;
    instance.weight = weight;
    try {
      instance.cgroup.setWeight(weight);
    } catch {
      // It ended in this moment; the pool hears of it.
    }
  }

  /** Ends a sandbox; calls in it fail with `reason`. Resolves when nothing of it is left. */
  async end(instance: Instance, reason?: NemoError): Promise<void> {
    const { sandbox } = instance;
    // One that still starts is ended by `make`, or by its engine.
    if (sandbox === undefined) return;
    if (instance.state !== 'ending') {
      instance.state = 'ending';
      this.stems.drop(instance);
      void sandbox.kill(reason);
    }
    await sandbox.exited;
  }

  private forget(instance: Instance, exit: SandboxExit): void {
    if (!this.instances.delete(instance.id)) return;
    const unused = instance.state === 'stem';
    instance.endedItself = instance.state !== 'ending';
    instance.state = 'ending';
    this.stems.drop(instance);
    if (unused) this.stems.endedUnused(instance);
    this.options.control.removeSandbox(instance.slot);
    this.options.onEnded(instance, exit);
  }

  /** Ends every sandbox. */
  async close(): Promise<void> {
    this.closed = true;
    const reason = new NemoError('STOPPING', 'the agent stopped while the call ran');
    await Promise.all([...this.instances.values()].map((instance) => this.end(instance, reason)));
  }
}

/**
 * A sandbox that is not there is nobody's code's fault: taken for that, it would be tried again at once and without end for
 * whoever waits, as a deploy is.
 */
function asStartError(error: NemoError, id: string): NemoError {
  if (error.blame === 'system') return error;
  return new NemoError('SANDBOX_START', `sandbox ${id} did not start: ${error.message}`, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    cause: error,
  });
}
