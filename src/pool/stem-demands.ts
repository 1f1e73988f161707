/** Which stems there should be by the prewarm policy, of each kind, and how many there are. */

import { ENGINE_DEFAULT } from '../engine/builtin.js';
import { type StemKind, stemKind } from '../engine/engines.js';
import type { PrewarmPolicy, StemDemand } from '../policy/prewarm/policy.js';
import { RecentTimes } from '../policy/usage/recent-times.js';
import type { Deployed } from './function-state.js';
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
  /** Kinds of which none was made since one could not be, and when that was. */
  private readonly failedMs = new Map<string, number>();

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
    }
    if (this.failedMs.size > 0) plan.sort((a, b) => this.failedAt(a) - this.failedAt(b));
    this.surplus = pool.stems.ready.find(({ stemKind: { key } }) => {
      const demand = plan.find((one) => one.key === key);
      return demand === undefined || demand.count > demand.wanted;
    });
    return plan;
  }

  /** One could not be made: all other kinds go before it. */
  failed(key: string, nowMs: number): void {
    this.failedMs.set(key, nowMs);
  }

  /** One was made: its kind has its place again. */
  made(key: string): void {
    this.failedMs.delete(key);
  }

  private failedAt({ key }: Demand): number {
    return this.failedMs.get(key) ?? 0;
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
    this.pool.stems.forgetAsked((key) => this.kinds.has(key));
    for (const key of this.failedMs.keys()) if (!this.kinds.has(key)) this.failedMs.delete(key);
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
