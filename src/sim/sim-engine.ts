/**
 * The cost model as an engine: starting, loading and restoring take what `Costs` says, on cores that all starts share,
 * and a call takes what the trace says. What it leaves out: calls do not slow each other.
 */

import { ENGINE_DEFAULT } from '../engine/builtin.js';
import { type StemKind, stemKind } from '../engine/engines.js';
import type { Cgroup } from '../linux/cgroup/driver.js';
import type { CallRequest } from '../model/call.js';
import type { Clock } from '../model/clock.js';
import type { NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import type { StoredPackage } from '../model/package.js';
import type { ImportedPackage } from '../policy/prewarm/policy.js';
import type { EngineSource } from '../pool/pool.js';
import type {
  AheadReport,
  Engine,
  LoadOptions,
  Sandbox,
  SandboxExit,
  SandboxReply,
  StartOptions,
} from '../sandbox/engine.js';
import type { Costs } from './costs.js';
import type { SharedCores } from './shared-cores.js';
import type { SimCall } from './sim-call.js';

const KIND = stemKind(ENGINE_DEFAULT);
const ENDED: SandboxExit = { cause: 'killed', exitCode: null, signal: null, stderrTail: '' };

export interface EngineOptions {
  clock: Clock;
  costs: Costs;
  /** Starts under way: each is called when it is done. */
  starts: SharedCores<() => void>;
  /** Snapshots are made of what has run, and used. */
  restoreFirst: boolean;
  packages: ReadonlyMap<string, ImportedPackage>;
}

/** What a trace says that a function takes is all of it. */
const NONE = { sandbox: 0, process: 0 };

export class SimEngine implements Engine, EngineSource {
  readonly kind = ENGINE_DEFAULT;
  /** Something was begun or has ended that goes on in promises: virtual time stands still until these are done. */
  unsettled = false;
  /** Functions of which there is a snapshot, by their code. */
  private readonly images = new Set<string>();

  constructor(readonly options: EngineOptions) {}

  async get(): Promise<Engine> {
    this.unsettled = true;
    return this;
  }

  stemKind(_spec: FunctionSpec): StemKind {
    return KIND;
  }

  ownBytes(): { sandbox: number; process: number } {
    return NONE;
  }

  check(): Promise<{ ok: true }> {
    return Promise.resolve({ ok: true });
  }

  prepare(): never {
    throw new Error('nothing is deployed to a simulated box');
  }

  async restores({ bundlePath }: LoadOptions): Promise<boolean> {
    return this.canRestore(bundlePath);
  }

  private canRestore(bundlePath: string): boolean {
    const { restoreFirst, costs } = this.options;
    return restoreFirst && costs.restoreMs !== undefined && this.images.has(bundlePath);
  }

  async start({ id, cgroup, packages = [], willLoad }: StartOptions): Promise<Sandbox> {
    const { coldMs, stemMs, restoreMs } = this.options.costs;
    if (willLoad !== undefined && this.canRestore(willLoad.bundlePath)) {
      await this.work(restoreMs!);
      return new SimSandbox(id, cgroup, this, packages, true);
    }
    // Of a start with code, loading is a part.
    await this.work(willLoad === undefined ? coldMs + this.importMs(packages) : Math.max(0, coldMs - stemMs));
    return new SimSandbox(id, cgroup, this, packages, false);
  }

  /** What loading takes, on cores that are shared with other starts. */
  work(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.options.starts.add(this.options.clock.nowMs(), ms, () => {
        this.unsettled = true;
        resolve();
      });
    });
  }

  loaded({ bundlePath }: LoadOptions): void {
    this.images.add(bundlePath);
  }

  importMs(packages: readonly StoredPackage[], had: readonly StoredPackage[] = []): number {
    let ms = 0;
    for (const { hash } of packages) {
      if (!had.some((one) => one.hash === hash)) ms += this.options.packages.get(hash)!.loadMs;
    }
    return ms;
  }

  ahead(packages: readonly StoredPackage[]): AheadReport {
    let [cpuMs, bytes] = [0, 0];
    for (const { hash } of packages) {
      cpuMs += this.options.packages.get(hash)!.loadMs;
      bytes += this.options.packages.get(hash)!.bytes;
    }
    return { cpuMs, bytes, reads: [], readsAll: false };
  }

  async close(): Promise<void> {}
}

class SimSandbox implements Sandbox {
  readonly engine = ENGINE_DEFAULT;
  readonly pid = 0;
  readonly exited: Promise<SandboxExit>;
  /** The first one runs. */
  private readonly calls: Array<{ call: SimCall; reply: SandboxReply }> = [];
  private resolveExited!: (exit: SandboxExit) => void;

  constructor(
    readonly id: string,
    readonly cgroup: Cgroup,
    private readonly from: SimEngine,
    private readonly imported: readonly StoredPackage[],
    /** From a snapshot, with its function loaded. */
    readonly preloaded: boolean,
  ) {
    this.exited = new Promise((resolve) => {
      this.resolveExited = resolve;
    });
  }

  get ahead(): AheadReport | undefined {
    return this.imported.length === 0 ? undefined : this.from.ahead(this.imported);
  }

  get inFlight(): number {
    return this.calls.length;
  }

  async load(options: LoadOptions): Promise<void> {
    if (!this.preloaded) {
      const importMs = this.from.importMs(options.packages ?? [], this.imported);
      await this.from.work(this.from.options.costs.stemMs + importMs);
    }
    this.from.loaded(options);
  }

  invoke(request: CallRequest, _deadlineMs: number, reply: SandboxReply): void {
    this.calls.push({ call: request as SimCall, reply });
    if (this.calls.length === 1) this.begin();
  }

  private begin(): void {
    const { call, reply } = this.calls[0]!;
    call.restored = this.preloaded;
    reply.onHead(200, NO_HEADERS);
    this.from.options.clock.after(call.durationMs, this.end);
  }

  private readonly end = (): void => {
    const { reply } = this.calls.shift()!;
    if (this.calls.length > 0) this.begin();
    reply.onEnd();
  };

  /** The scheduler ends only what is idle: a trace's calls have no time limit. */
  async kill(_reason?: NemoError): Promise<void> {
    this.from.unsettled = true;
    this.resolveExited(ENDED);
  }
}

const NO_HEADERS: Record<string, string> = {};
