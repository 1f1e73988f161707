/**
 * Dispatcher, pool and planner over an engine that runs nothing: sandboxes whose calls the test itself answers, so
 * that every order of events can be produced. It keeps the promises of `Engine` and `Sandbox`, no more.
 */

import type { SandboxSlots } from '../../src/control/sandbox-slots.js';
import { Dispatcher } from '../../src/dispatch/dispatcher.js';
import { failuresTo } from '../../src/dispatch/observer.js';
import type { Overflow } from '../../src/dispatch/overflow.js';
import { Engines, stemKind } from '../../src/engine/engines.js';
import type { Cgroup, CgroupDriver, CgroupLimits } from '../../src/linux/cgroup/driver.js';
import { Board, Core } from '../../src/model/board.js';
import type { Call, CallRequest, CallTimeline } from '../../src/model/call.js';
import { type Clock, realClock } from '../../src/model/clock.js';
import { NemoError } from '../../src/model/errors.js';
import type { FunctionSpec } from '../../src/model/function.js';
import { functionRef } from '../../src/model/function-ref.js';
import type { StoredPackage } from '../../src/model/package.js';
import type { ReplySink } from '../../src/model/reply-sink.js';
import { type BoxPolicy, policyByName } from '../../src/policy/harvest/policies.js';
import { createPolicies } from '../../src/policy/policies.js';
import type { PolicyChoice } from '../../src/policy/policy-entry.js';
import { Housekeeping } from '../../src/pool/housekeeping.js';
import { Planner } from '../../src/pool/planner.js';
import { Pool } from '../../src/pool/pool.js';
import { preimportStems } from '../../src/preimport/preimport-stems.js';
import type {
  AheadReport,
  Engine,
  LoadOptions,
  Sandbox,
  SandboxExit,
  SandboxReply,
  StartOptions,
} from '../../src/sandbox/engine.js';
import type { SimWatch } from '../../src/sim/world.js';
import { callOf } from '../support/calls.js';
import { MODULE } from '../support/sources.js';

export const FALLBACK = 0;
export const KIND = stemKind('process');

class TestCgroup implements Cgroup {
  readonly joinPaths = [];
  readonly handle;
  cpus: readonly number[];

  constructor(
    readonly name: string,
    limits: CgroupLimits,
  ) {
    this.cpus = limits.cpus ?? [];
    this.handle = {
      name,
      version: 'v1' as const,
      cpuUsagePath: '',
      kernelTimePath: '',
      memoryStatPath: undefined,
      quotaPath: undefined,
      quotaPeriodUs: 0,
      freezePath: undefined,
    };
  }
  adoptThread(): void {}
  release(): void {}
  setMemoryMax(): void {}
  setPidsMax(): void {}
  weight = 'normal';
  setWeight(weight: 'normal' | 'low'): void {
    this.weight = weight;
  }
  setCpus(cpus: readonly number[]): void {
    this.cpus = cpus;
  }
  usage() {
    return { cpuNs: 0, memoryBytes: 0, pids: 0 };
  }
  oomKills(): number {
    return 0;
  }
  async kill(): Promise<void> {}
  async remove(): Promise<void> {}
}

interface OpenCall {
  request: CallRequest;
  deadlineMs: number;
  reply: SandboxReply;
}

export class TestSandbox implements Sandbox {
  readonly engine = 'test';
  readonly pid = 1;
  readonly calls: OpenCall[] = [];
  readonly exited: Promise<SandboxExit>;
  readonly cgroup: TestCgroup;
  code: string | undefined;
  ahead: AheadReport | undefined;
  ended = false;
  concurrency = 1;
  private reason: NemoError | undefined;
  private settle!: (exit: SandboxExit) => void;

  constructor(
    readonly id: string,
    cgroup: Cgroup,
    private readonly box: InProcessBox,
  ) {
    this.cgroup = cgroup as TestCgroup;
    this.exited = new Promise((resolve) => {
      this.settle = resolve;
    });
  }

  get core(): number {
    return this.cgroup.cpus[0]!;
  }

  get inFlight(): number {
    return this.calls.length;
  }

  async load(options: LoadOptions): Promise<void> {
    this.code = options.bundlePath;
    this.concurrency = options.concurrency ?? 1;
    await this.box.loading?.(this);
    if (this.ended) throw this.reason ?? new NemoError('FUNCTION_LOAD', 'ended while it was loaded');
  }

  invoke(request: CallRequest, deadlineMs: number, reply: SandboxReply): void {
    if (this.ended) {
      reply.onError(this.reason ?? exitError(false));
      return;
    }
    this.calls.push({ request, deadlineMs, reply });
    this.box.onInvoke?.(this, request);
  }

  /** The oldest call, or another one that runs, is answered. */
  answer(index = 0): void {
    const [call] = this.calls.splice(index, 1);
    call!.reply.onHead(200, {});
    call!.reply.onEnd();
  }

  fail(index = 0): void {
    const [call] = this.calls.splice(index, 1);
    call!.reply.onError(new NemoError('FUNCTION_ERROR', 'it threw'));
  }

  /** Ends by itself. */
  die(): void {
    this.finish('crashed');
  }

  async kill(reason?: NemoError): Promise<void> {
    this.finish('killed', reason);
    await this.exited;
  }

  private finish(cause: SandboxExit['cause'], reason?: NemoError): void {
    if (this.ended) return;
    this.ended = true;
    this.reason = reason;
    for (const [i, call] of this.calls.splice(0).entries()) {
      call.reply.onError(reason ?? exitError(i < this.concurrency));
    }
    setImmediate(() => this.settle({ cause, exitCode: null, signal: null, stderrTail: '' }));
  }
}

function exitError(started: boolean): NemoError {
  return new NemoError('FUNCTION_EXIT', 'the sandbox ended', { details: { started } });
}

/** What a call came to; `outcomes` has one entry when all is well. */
export class Outcome implements ReplySink {
  readonly outcomes: string[] = [];
  timeline: CallTimeline | undefined;
  gone = false;
  private onLeft: (() => void) | undefined;
  whenLeft(left: () => void): void {
    this.onLeft = left;
  }
  /** As a caller that hangs up. */
  leave(): void {
    this.gone = true;
    this.onLeft?.();
  }
  onHead(): void {}
  onChunk(): void {}
  onEnd(timeline: CallTimeline): void {
    this.timeline = timeline;
    this.outcomes.push('answered');
  }
  onError(error: NemoError): void {
    this.outcomes.push(error.code);
  }
}

export interface BoxOptions {
  functionCores?: number[];
  prewarm?: PolicyChoice;
  keepAlive?: PolicyChoice;
  memoryMaxBytes?: number;
  clock?: Clock;
  policy?: BoxPolicy;
  selection?: PolicyChoice;
  /** The limit of a stem, on a host that has memory enough. */
  stemBytes?: number;
  /** Without a source of stems, whatever the prewarm policy wants. */
  plainStems?: boolean;
  watch?: SimWatch;
  overflow?: Overflow;
}

export class InProcessBox implements SandboxSlots {
  readonly board = Board.create(4);
  readonly sandboxes: TestSandbox[] = [];
  readonly pool: Pool;
  readonly dispatcher: Dispatcher;
  readonly planner: Planner;
  readonly housekeeping: Housekeeping;
  readonly evicted: string[] = [];
  /** Slots in use, and whether each is busy. */
  readonly slots = new Map<number, boolean>();
  /** Thrown by the next starts, in order. */
  readonly startErrors: NemoError[] = [];
  /** What went into the event log and the functions' own logs. */
  readonly failures: string[] = [];
  /** Called in a load; may throw. */
  loading: ((sandbox: TestSandbox) => Promise<void> | void) | undefined;
  /** Called in a start; it waits. */
  starting: ((options: StartOptions) => Promise<void>) | undefined;
  /** What a stem tells of its packages. */
  importing: ((packages: readonly StoredPackage[]) => AheadReport) | undefined;
  onInvoke: ((sandbox: TestSandbox, request: CallRequest) => void) | undefined;
  /** The real one, unless options say otherwise. */
  readonly clock: Clock;
  private nextSlot = 0;
  private nextCall = 0;

  constructor(options: BoxOptions = {}) {
    const { functionCores = [1], prewarm = 'none', keepAlive = 'ttl', memoryMaxBytes } = options;
    const { clock = realClock, policy = policyByName('nemo'), selection = 'mru', stemBytes, watch } = options;
    const { plainStems = false, overflow } = options;
    this.clock = clock;
    const engine: Engine = {
      kind: 'process',
      prepare: () => Promise.reject(new Error('nothing is deployed here')),
      check: async () => ({ ok: true }),
      start: (options) => this.startSandbox(options),
      close: async () => {},
    };
    const driver = { create: (name, limits) => new TestCgroup(name, limits) } as Pick<
      CgroupDriver,
      'create'
    > as CgroupDriver;
    const entries = ['process', 'other'].map((kind) => ({
      kind,
      about: 'runs nothing',
      runs: ['module'] as const,
      open: async () => engine,
    }));
    const byCode = { kind: 'kinds', variant: ({ codeHash }: FunctionSpec) => codeHash };
    const policies = createPolicies({ prewarm, keepAlive, selection });
    this.pool = new Pool({
      clock,
      engines: new Engines([...entries, { ...entries[0]!, ...byCode }]),
      driver,
      control: this,
      scheduling: 'idle',
      stemSource: plainStems ? undefined : preimportStems(policies.prewarm),
      bundlePath: (spec) => spec.codeHash,
      packagePath: (hash) => hash,
      ...(memoryMaxBytes === undefined ? {} : { memoryMaxBytes }),
      ...(stemBytes === undefined ? {} : { stemBytes, availableBytes: () => Number.POSITIVE_INFINITY }),
      makeRoom: (bytes) => this.planner.makeRoom(bytes),
      onLog: () => {},
      onEnded: (instance) => this.dispatcher.sandboxEnded(instance),
    });
    this.dispatcher = new Dispatcher({
      clock,
      control: this,
      pool: this.pool,
      policy,
      selection: policies.selection,
      functionCores,
      fallbackCore: FALLBACK,
      observers: [
        failuresTo((name, error) => this.failures.push(`${name}: ${error.code}`)),
        ...(watch?.calls === undefined ? [] : [watch.calls]),
      ],
      onChanged: (fn) => this.planner.changed(fn),
      ...(overflow === undefined ? {} : { overflow }),
    });
    this.planner = new Planner({
      clock,
      control: this,
      pool: this.pool,
      dispatcher: this.dispatcher,
      functionCores,
      prewarm: policies.prewarm,
      keepAlive: policies.keepAlive,
      onEvicted: (name, id, why) => {
        this.evicted.push(`${name}: ${why}`);
        watch?.onEvicted?.(name, id, why, clock.nowMs());
      },
      onPrewarm: (what) => watch?.onPrewarm?.(what, clock.nowMs()),
      onWarning: () => {},
    });
    this.housekeeping = new Housekeeping({
      clock,
      control: this,
      pool: this.pool,
      planner: this.planner,
      functions: () => this.dispatcher.functions.values(),
      onEvicted: () => {},
      onWarning: () => {},
    });
    for (const core of functionCores) {
      this.board.set(core, Core.hasNf, 1);
      this.board.set(core, Core.harvestable, 1);
      this.board.set(core, Core.budgetRunning, policy.runningPerCore);
      this.board.set(core, Core.predictedSpareRatio, 0.5);
    }
  }

  private async startSandbox(options: StartOptions): Promise<Sandbox> {
    await this.starting?.(options);
    const error = this.startErrors.shift();
    if (error !== undefined) throw error;
    const sandbox = new TestSandbox(options.id, options.cgroup, this);
    if (options.packages !== undefined) sandbox.ahead = this.importing?.(options.packages);
    this.sandboxes.push(sandbox);
    return sandbox;
  }

  addSandbox(): number {
    const slot = this.nextSlot++;
    this.slots.set(slot, true);
    return slot;
  }
  moveSandbox(): void {}
  removeSandbox(slot: number): void {
    this.slots.delete(slot);
  }
  setBusy(slot: number, busy: boolean): void {
    if (!this.slots.has(slot)) throw new Error(`slot ${slot} is nobody's`);
    this.slots.set(slot, busy);
  }
  relax(): void {}

  /** As the conflict manager would: a level of the ladder with its budget. */
  throttle(core: number, level: number, budget: number): void {
    this.board.set(core, Core.throttleLevel, level);
    this.board.set(core, Core.budgetRunning, budget);
  }

  deploy(name: string, over: Partial<FunctionSpec> = {}): void {
    this.dispatcher.setFunction(name, spec(name, over));
  }

  call(name: string, body = Buffer.alloc(0), over: Partial<Call> = {}): Outcome {
    const sink = new Outcome();
    const callId = String(this.nextCall++);
    this.dispatcher.invoke(callOf(name, { callId, body, ...over }), sink);
    return sink;
  }

  /** A warm idle sandbox of a function. */
  async warm(name: string): Promise<TestSandbox> {
    const instance = await this.pool.make(1, KIND);
    await this.dispatcher.prewarm(this.dispatcher.functions.get(name)!, instance);
    return instance.sandbox as TestSandbox;
  }

  get live(): TestSandbox[] {
    return this.sandboxes.filter((sandbox) => !sandbox.ended);
  }

  /** Keys of the functions of the calls inside sandboxes. */
  inside(): string[] {
    return this.live.flatMap((sandbox) => sandbox.calls.map((call) => call.request.ref.key));
  }

  async close(): Promise<void> {
    this.planner.stop();
    await this.dispatcher.drain(0);
    await this.pool.close();
  }
}

export function spec(name: string, over: Partial<FunctionSpec> = {}): FunctionSpec {
  return {
    ref: functionRef(name),
    engine: 'process',
    codeHash: `${name}-1`,
    source: MODULE,
    codeBytes: 1,
    memoryBytes: 1,
    timeoutMs: 60_000,
    concurrency: 1,
    env: {},
    createdAt: '',
    updatedAt: '',
    ...over,
  };
}

/** Everything that follows from what was done so far has happened. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve));
}
