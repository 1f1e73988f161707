/**
 * A box in virtual time: the dispatcher, pool and planner that a box runs, over a clock that jumps from event to event, an
 * engine that only costs (`sim-engine`) and a machine that does nothing (`sim-box`). Only calls come from outside.
 */

import { Dispatcher } from '../dispatch/dispatcher.js';
import type { CallObserver } from '../dispatch/observer.js';
import { VirtualClock } from '../model/clock.js';
import type { FunctionSpec } from '../model/function.js';
import type { PoolPolicies } from '../policy/policies.js';
import type { PrewarmDecision } from '../policy/prewarm/next.js';
import type { ImportedPackage } from '../policy/prewarm/policy.js';
import { Planner } from '../pool/planner.js';
import { Pool } from '../pool/pool.js';
import { preimportStems } from '../preimport/preimport-stems.js';
import type { Costs } from './costs.js';
import { Outcomes, type SimResult } from './result.js';
import { SharedCores } from './shared-cores.js';
import { boxOf, FALLBACK_CORE, SIM_GROUPS, SimSlots } from './sim-box.js';
import { SimCall } from './sim-call.js';
import { SimEngine } from './sim-engine.js';
import { specsOf } from './specs.js';
import type { Trace } from './trace.js';

export interface SimOptions {
  policies: PoolPolicies;
  costs: Costs;
  /** Most memory of all sandboxes. Default: no bound. */
  capacityBytes?: number;
  /** Function cores whose places are counted; default: every call runs at once. */
  cores?: number;
  /** What functions import, by their index; default: nothing. */
  packages?: ReadonlyArray<readonly ImportedPackage[]>;
  /** Hears of what the scheduler decides. */
  watch?: SimWatch;
}

export interface SimWatch {
  calls?: CallObserver;
  onPrewarm?: (what: PrewarmDecision, nowMs: number) => void;
  onEvicted?: (functionName: string, sandboxId: string, why: string, nowMs: number) => void;
}

/** Prewarming before the trace begins is bounded by this. */
const SETTLE_MAX_MS = 600_000;

export class World {
  private readonly clock = new VirtualClock();
  private readonly starts: SharedCores<() => void>;
  private readonly engine: SimEngine;
  private readonly slots: SimSlots;
  private readonly dispatcher: Dispatcher;
  private readonly planner: Planner;
  private readonly outcomes: Outcomes;
  private readonly specs: readonly FunctionSpec[];
  /** When the trace begins: as on a box, functions are deployed before they are called. */
  readonly beginMs: number;

  constructor(
    private readonly trace: Trace,
    private readonly options: SimOptions,
  ) {
    const { clock } = this;
    const { policies, costs, capacityBytes, cores, packages = [], watch = {} } = options;
    const { policy, functionCores } = boxOf(cores);
    this.beginMs = Math.min(SETTLE_MAX_MS, 1000 + trace.functionNames.length * costs.coldMs * 2);
    this.outcomes = new Outcomes(clock, trace.arrivalsMs.length);
    this.starts = new SharedCores(cores ?? Number.POSITIVE_INFINITY);
    this.engine = new SimEngine({
      clock,
      costs,
      starts: this.starts,
      restoreFirst: policies.prewarm.restoreFirst === true,
      packages: new Map(packages.flat().map((one) => [one.hash, one])),
    });
    this.slots = new SimSlots(functionCores, policy.runningPerCore, costs.sandboxBytes, () => clock.nowMs());
    const shared = { clock, control: this.slots, functionCores };
    const pool: Pool = new Pool({
      ...shared,
      engines: this.engine,
      driver: SIM_GROUPS,
      scheduling: policy.scheduling,
      stemSource: preimportStems(policies.prewarm),
      bundlePath: ({ codeHash }) => codeHash,
      packagePath: (hash) => hash,
      availableBytes: () => Number.POSITIVE_INFINITY,
      stemBytes: costs.sandboxBytes,
      ...(capacityBytes === undefined ? {} : { memoryMaxBytes: capacityBytes }),
      makeRoom: (bytes, kind) => this.planner.makeRoom(bytes, kind),
      onLog: () => {},
      onEnded: (instance) => this.dispatcher.sandboxEnded(instance),
    });
    this.dispatcher = new Dispatcher({
      ...shared,
      pool,
      policy,
      fallbackCore: FALLBACK_CORE,
      selection: policies.selection,
      latencyParts: 0,
      onChanged: (fn) => this.planner.changed(fn),
      observers: watch.calls === undefined ? [] : [watch.calls],
    });
    this.planner = new Planner({
      ...shared,
      pool,
      dispatcher: this.dispatcher,
      prewarm: policies.prewarm,
      keepAlive: policies.keepAlive,
      onPrewarm: (what) => {
        this.outcomes.prewarmed++;
        watch.onPrewarm?.(what, clock.nowMs());
      },
      onEvicted: (functionName, sandboxId, why) => {
        this.outcomes.ended(why);
        watch.onEvicted?.(functionName, sandboxId, why, clock.nowMs());
      },
      onWarning: () => {},
    });
    this.specs = specsOf(trace.functionNames, costs, packages);
    for (const spec of this.specs) this.dispatcher.setFunction(spec.ref.key, spec);
  }

  async run(): Promise<SimResult> {
    const { clock, starts, trace, outcomes, engine } = this;
    const calls = trace.arrivalsMs.length;
    this.planner.start();
    for (let next = 0; ; ) {
      const arrivalMs = next < calls ? trace.arrivalsMs[next]! + this.beginMs : Number.POSITIVE_INFINITY;
      const startMs = starts.nextMs;
      const eventMs = Math.min(startMs, clock.nextMs);
      if (arrivalMs <= eventMs) {
        // The trace is over: calls that run end, and nothing is kept for nobody.
        if (arrivalMs === Number.POSITIVE_INFINITY) break;
        clock.moveTo(arrivalMs);
        if (next === 0) this.slots.forgetMemory();
        this.arrive(next++, arrivalMs);
      } else if (next === calls && outcomes.known === next) {
        break;
      } else if (eventMs === startMs) {
        clock.moveTo(startMs);
        starts.pop(startMs)();
      } else clock.runNext();
      while (engine.unsettled) {
        engine.unsettled = false;
        await promisesDone();
      }
    }
    this.slots.account();
    const { policies, capacityBytes = null } = this.options;
    return {
      policies: `${policies.prewarm.name}+${policies.keepAlive.name}`,
      capacityBytes,
      calls,
      ...outcomes.result(),
      memoryGiBs: this.slots.memoryGiBs,
      idleMemoryGiBs: this.slots.idleMemoryGiBs,
      memoryMaxBytes: this.slots.memoryMaxBytes,
    };
  }

  private arrive(index: number, arrivalMs: number): void {
    const { ref } = this.specs[this.trace.functions[index]!]!;
    const call = new SimCall(index, ref, arrivalMs, this.trace.durationsMs[index]!, this.outcomes);
    this.dispatcher.invoke(call, call);
  }
}

/** Called from a promise's reaction, node takes the next tick when no reaction is left to run; it needs no turn of its loop. */
async function promisesDone(): Promise<void> {
  await undefined;
  await new Promise<void>((resolve) => process.nextTick(resolve));
}
