/** Which stems there should be by the prewarm policy, of each kind, and how many there are. */

import { ENGINE_DEFAULT } from '../engine/builtin.js';
import { type StemKind, stemKind } from '../engine/engines.js';
import type { PrewarmPolicy, StemDemand } from '../policy/prewarm/policy.js';
import { RecentTimes } from '../policy/usage/recent-times.js';
import { backoffMs, type Deployed } from './function-state.js';
import type { Instance } from './instance.js';
import type { Pool } from './pool.js';

const DEFAULT_KIND = stemKind(ENGINE_DEFAULT);
const NEVER = new RecentTimes();

interface Demand extends StemDemand {
  functions: number;
  asked: RecentTimes;
  /** Ready or being made, and how many there should be. */
  count: number;
  wanted: number;
}

export class StemDemands {
  /** Some kind has fewer than it should. */
  lacking = false;
  /** One that is more than there should be of its kind. */
  surplus: Instance | undefined;
  private readonly plan: Demand[] = [];
  private readonly kinds = new Map<string, { kind: StemKind; demand: Demand }>();
  private countedVersion = -1;
  /** Kinds of which none could be made, how often in a row, and until when no other is tried. */
  private readonly failed = new Map<string, { times: number; untilMs: number }>();

  constructor(
    private readonly pool: Pool,
    private readonly prewarm: PrewarmPolicy,
    private readonly deployed: Pick<Deployed, 'functions' | 'version'>,
  ) {}

  /** What there should be now; good until the next look. */
  review(nowMs: number): readonly Demand[] {
    const { plan, pool, prewarm } = this;
    this.countFunctions();
    plan.length = 0;
    for (const { demand } of this.kinds.values()) {
      demand.asked = pool.stems.askedFor(demand.key);
      demand.wanted = prewarm.stems(demand, nowMs);
      plan.push(demand);
    }
    for (const { kind, wanted } of pool.stems.wantedAhead(this.deployed.functions.values())) {
      plan.push({ key: kind.key, functions: 1, asked: NEVER, count: 0, wanted });
    }
    this.lacking = false;
    for (const demand of plan) {
      demand.count = pool.stems.count(demand.key);
      if (demand.count < demand.wanted) this.lacking = true;
      if (nowMs < (this.failed.get(demand.key)?.untilMs ?? 0))
        demand.wanted = Math.min(demand.wanted, demand.count);
    }
    this.surplus = pool.stems.ready.find(({ stemKind: { key } }) => {
      const demand = plan.find((one) => one.key === key);
      return demand === undefined || demand.count > demand.wanted;
    });
    return plan;
  }

  /** One of that kind was made, or could not be: others are made then before it is tried again. */
  made(key: string, failedAtMs?: number): void {
    if (failedAtMs === undefined) this.failed.delete(key);
    else {
      const times = (this.failed.get(key)?.times ?? 0) + 1;
      this.failed.set(key, { times, untilMs: failedAtMs + backoffMs(times) });
    }
  }

  /** Undefined: it is not wanted any more. */
  kind(key: string): StemKind | undefined {
    this.countFunctions();
    const ahead = () => this.pool.stems.wantedAhead(this.deployed.functions.values());
    return this.kinds.get(key)?.kind ?? ahead().find((one) => one.kind.key === key)?.kind;
  }

  /** Of the default engine always, so that the first function starts soon; of others while a function uses them. */
  private countFunctions(): void {
    const { functions, version } = this.deployed;
    if (version === this.countedVersion) return;
    this.countedVersion = version;
    this.kinds.clear();
    this.count(DEFAULT_KIND, 0);
    for (const fn of functions.values()) this.count(this.pool.stemKind(fn.spec), 1);
    for (const key of this.failed.keys()) if (!this.kinds.has(key)) this.failed.delete(key);
  }

  private count(kind: StemKind, by: number): void {
    const known = this.kinds.get(kind.key);
    if (known !== undefined) known.demand.functions += by;
    else {
      const demand = { key: kind.key, functions: by, asked: NEVER, count: 0, wanted: 0 };
      this.kinds.set(kind.key, { kind, demand });
    }
  }
}
