/** Which stems there should be by the prewarm policy, of each kind, and how many there are. */

import type { Dispatcher } from '../invoke/dispatcher.js';
import type { Worker } from '../invoke/worker.js';
import { ENGINE_DEFAULT } from '../sandbox/engines/builtin.js';
import { type StemKind, stemKind } from '../sandbox/engines/engines.js';
import type { Pool } from '../sandbox/pool.js';
import type { PrewarmPolicy, StemDemand } from '../sandbox/prewarm/policy.js';
import { RecentTimes } from '../sandbox/recent-times.js';
import type { WantedZygote } from '../sandbox/zygotes.js';

const DEFAULT_KIND = stemKind(ENGINE_DEFAULT);
const NEVER = new RecentTimes();

interface Demand extends StemDemand {
  count: number;
  wanted: number;
}

export class StemDemands {
  /** As of the last look. */
  plan: readonly Demand[] = [];
  /** Some kind has fewer than it should. */
  lacking = false;
  /** One that is more than there should be of its kind. */
  surplus: Worker | undefined;

  private counted: ReadonlyMap<string, { kind: StemKind; functions: number }> = new Map();
  private countedVersion = -1;

  constructor(
    private readonly pool: Pool,
    private readonly prewarm: PrewarmPolicy,
    private readonly deployed: Pick<Dispatcher, 'functions' | 'version'>,
  ) {}

  look(nowMs: number): readonly Demand[] {
    const { pool, prewarm } = this;
    const plan: Demand[] = [];
    const wanted = new Map<string, number>();
    this.lacking = false;
    const add = (demand: Demand): void => {
      plan.push(demand);
      wanted.set(demand.key, demand.wanted);
      if (demand.count < demand.wanted) this.lacking = true;
    };
    for (const [key, { functions }] of this.kinds()) {
      const demand = { key, functions, asked: pool.asked.get(key) ?? NEVER };
      add({ ...demand, count: pool.stemCount(key), wanted: prewarm.stems(demand, nowMs) });
    }
    for (const { kind, wanted: stems } of this.zygotes(nowMs)) {
      add({ key: kind.key, functions: 1, asked: NEVER, count: pool.stemCount(kind.key), wanted: stems });
    }
    this.surplus = pool.stems.find(({ stemKind: { key } }) => pool.stemCount(key) > (wanted.get(key) ?? 0));
    this.plan = plan;
    return plan;
  }

  /** Undefined: it is not wanted any more. */
  kind(key: string, nowMs: number): StemKind | undefined {
    return this.kinds().get(key)?.kind ?? this.zygotes(nowMs).find((one) => one.kind.key === key)?.kind;
  }

  private zygotes(nowMs: number): readonly WantedZygote[] {
    return this.pool.zygotes.wanted(this.deployed.functions.values(), this.prewarm, nowMs);
  }

  /** Of the default engine always, so that the first function starts soon; of others while a function uses them. */
  private kinds(): ReadonlyMap<string, { kind: StemKind; functions: number }> {
    const { functions, version } = this.deployed;
    if (version === this.countedVersion) return this.counted;
    const kinds = new Map([[DEFAULT_KIND.key, { kind: DEFAULT_KIND, functions: 0 }]]);
    for (const fn of functions.values()) {
      const kind = this.pool.stemKind(fn.spec);
      const known = kinds.get(kind.key);
      if (known === undefined) kinds.set(kind.key, { kind, functions: 1 });
      else known.functions++;
    }
    this.counted = kinds;
    this.countedVersion = version;
    return kinds;
  }
}
