/** What the parts of a simulated box share: its clock, what will happen, its sandboxes, and what came of it so far. */

import { TimerHeap } from '../model/timer-heap.js';
import type { PoolPolicies } from '../sandbox/policies.js';
import type { ImportedPackage } from '../sandbox/prewarm/policy.js';
import { RecentTimes } from '../sandbox/recent-times.js';
import type { Costs } from './costs.js';
import type { SimResult } from './result.js';
import { SharedCores } from './shared-cores.js';
import { SimFunction, type SimSandbox } from './sim-function.js';
import { SimPool } from './sim-pool.js';
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
}

export type SimEvent =
  | { kind: 'ready' | 'end' | 'long'; sandbox: SimSandbox; call: number }
  | { kind: 'expire' | 'look' | 'again'; fn: SimFunction }
  | { kind: 'prewarm' | 'trim' }
  | { kind: 'made'; sandbox: SimSandbox };

/** Prewarming before the trace begins is bounded by this. */
const SETTLE_MAX_MS = 600_000;

export class SimBox {
  nowMs = 0;
  readonly functions: readonly SimFunction[];
  readonly events = new TimerHeap<SimEvent>();
  /** Sandboxes being started, with or without code. */
  readonly starts: SharedCores<SimEvent>;
  readonly pool: SimPool;
  /** When sandboxes were asked for that nobody had. */
  readonly asked = new RecentTimes();
  /** Counted as things happen; times and sums come at the end. */
  readonly result: SimResult;
  private readonly shiftMs: number;

  constructor(
    readonly trace: Trace,
    readonly options: SimOptions,
    /** An idle sandbox of a function was ended. */
    onRemoved: (fn: SimFunction) => void,
  ) {
    const { policies, costs, capacityBytes, cores } = options;
    this.functions = trace.functionNames.map((_, i) =>
      Object.assign(new SimFunction(), { packages: options.packages?.[i] ?? [] }),
    );
    this.pool = new SimPool(
      costs.sandboxBytes,
      capacityBytes ?? Number.POSITIVE_INFINITY,
      policies.keepAlive,
      onRemoved,
    );
    this.starts = new SharedCores(cores ?? Number.POSITIVE_INFINITY);
    // As on a box, functions are deployed before they are called: what is made ahead is there by then.
    this.shiftMs = Math.min(SETTLE_MAX_MS, 1000 + this.functions.length * costs.coldMs * 2);
    this.result = {
      policies: `${policies.prewarm.name}+${policies.keepAlive.name}`,
      capacityBytes: capacityBytes ?? null,
      calls: trace.arrivalsMs.length,
      ...{ cold: 0, stem: 0, restored: 0, warm: 0, rejected: 0, missRatio: 0 },
      startLatencyMs: { mean: 0, p50: 0, p99: 0 },
      ...{ memoryGiBs: 0, idleMemoryGiBs: 0, memoryMaxBytes: 0, prewarmed: 0, expired: 0, evicted: 0 },
    };
  }

  advance(toMs: number): void {
    this.pool.advance(toMs);
    this.nowMs = toMs;
  }

  arrivalMs(call: number): number {
    return this.trace.arrivalsMs[call]! + this.shiftMs;
  }
}
