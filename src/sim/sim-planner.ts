/** What the planner of a box does, in virtual time: ends what expired, and makes sandboxes ahead one after the other. */

import type { Zygote } from '../sandbox/prewarm/policy.js';
import { DISPATCH } from '../tunables.js';
import type { SimBox } from './sim-box.js';
import type { SimFunction, SimSandbox } from './sim-function.js';

/** A box looks at its stems at every sweep; here more seldom, since nothing else happens for hours. */
const TRIM_MS = 10_000;
const PLAN_MS = 1_000;
const STEM_KEY = 'process';

export class SimPlanner {
  /** Functions with fewer sandboxes than they should have. */
  private readonly short = new Set<SimFunction>();
  private making = false;
  /** When it looks for something to make; Infinity: nobody asked. */
  private prewarmMs = Number.POSITIVE_INFINITY;

  private plan: readonly Zygote[] = [];
  private plannedMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly box: SimBox) {}

  start(): void {
    for (const fn of this.box.functions) this.look(fn);
    this.wake();
    this.box.events.push(TRIM_MS, { kind: 'trim' });
  }

  /** Ends idle sandboxes whose time is over and that prewarming does not want; `later`: not before the next sweep. */
  expire(fn: SimFunction, later = false): void {
    if (fn.idle.length === 0) return;
    const { box } = this;
    const { keepAlive, prewarm } = box.options.policies;
    let spare = fn.live - prewarm.warm(fn.usage, box.nowMs).sandboxes;
    if (spare <= 0) return;
    let nextMs = Number.POSITIVE_INFINITY;
    // They are in the order in which they became idle: the least recently used first.
    for (let i = 0; i < fn.idle.length && spare > 0; ) {
      const sandbox = fn.idle[i]!;
      const expiresMs = keepAlive.expiresMs(sandbox, box.nowMs);
      if (!later && expiresMs <= box.nowMs) {
        box.pool.remove(sandbox);
        box.result.expired++;
        spare--;
        this.wake();
        continue;
      }
      nextMs = Math.min(nextMs, expiresMs);
      i++;
    }
    const sweepMs = this.sweepAfter(nextMs);
    if (sweepMs >= fn.expireMs) return;
    fn.expireMs = sweepMs;
    box.events.push(sweepMs, { kind: 'expire', fn });
  }

  /** Asks how many sandboxes the function should have, and looks again when that may change. */
  look(fn: SimFunction): void {
    const { nowMs, events, options } = this.box;
    const wanted = options.policies.prewarm.warm(fn.usage, nowMs);
    if (fn.live + fn.starting + fn.making < wanted.sandboxes) {
      this.short.add(fn);
      this.wake();
    } else this.short.delete(fn);
    if (wanted.untilMs < fn.lookMs && wanted.untilMs > nowMs) {
      fn.lookMs = wanted.untilMs;
      events.push(fn.lookMs, { kind: 'look', fn });
    }
  }

  wake(): void {
    if (this.making || this.prewarmMs !== Number.POSITIVE_INFINITY) return;
    this.prewarmMs = this.sweepAfter(this.box.nowMs);
    this.box.events.push(this.prewarmMs, { kind: 'prewarm' });
  }

  /** It was woken. */
  woken(): void {
    this.prewarmMs = Number.POSITIVE_INFINITY;
    this.prewarm();
  }

  /** What `prewarm` began is there. */
  made(sandbox: SimSandbox): void {
    this.making = false;
    if (sandbox.fn === undefined) this.box.pool.addStem(sandbox);
    else sandbox.fn.making--;
  }

  prewarm(): void {
    const { nowMs, pool, starts, result, options } = this.box;
    const { costs } = options;
    if (this.making || pool.lacking() > 0) return;
    let chosen: SimFunction | undefined;
    for (const fn of this.short) {
      if (chosen === undefined || fn.lastUsedMs > chosen.lastUsedMs) chosen = fn;
    }
    const short = chosen === undefined ? this.shortStems() : undefined;
    if (chosen === undefined && short === undefined) return;
    const stem = chosen === undefined ? undefined : pool.takeStem(chosen);
    const sandbox = stem ?? pool.make();
    let tookMs = stem === undefined ? costs.coldMs : costs.stemMs;
    this.making = true;
    result.prewarmed++;
    if (chosen !== undefined) {
      sandbox.fn = chosen;
      sandbox.usage = chosen.usage;
      sandbox.origin = 'warm';
      tookMs += chosen.importMs(sandbox)!;
      chosen.making++;
      this.look(chosen);
    } else if (short !== undefined) {
      sandbox.hashes = short.hashes;
      tookMs += short.importMs;
    }
    starts.add(nowMs, tookMs, { kind: 'made', sandbox });
  }

  /** Ends stems that nobody wants any more. */
  trim(): void {
    const { events, nowMs, pool } = this.box;
    events.push(nowMs + TRIM_MS, { kind: 'trim' });
    const wanted = new Map(this.wanted().map(({ hashes, stems }) => [hashes.join(), stems]));
    for (const key of new Set(pool.stems.map(({ hashes }) => hashes.join()))) {
      for (const stem of pool.stemsWith(key).slice(wanted.get(key) ?? 0)) pool.dropStem(stem);
    }
  }

  /** Plain stems, and those with packages. */
  private wanted(): Array<Pick<Zygote, 'hashes' | 'stems'>> {
    return [{ hashes: [], stems: this.stemsWanted() }, ...this.zygotes()];
  }

  private shortStems(): { hashes: readonly string[]; importMs: number } | undefined {
    const short = this.wanted().find(
      ({ hashes, stems }) => this.box.pool.stemsWith(hashes.join()).length < stems,
    );
    if (short === undefined) return undefined;
    const { hashes } = short;
    let importMs = 0;
    const packages =
      this.box.functions.find((fn) => hashes.every((hash) => fn.packages.some((one) => one.hash === hash)))
        ?.packages ?? [];
    for (const { hash, loadMs } of packages) if (hashes.includes(hash)) importMs += loadMs;
    return { hashes, importMs };
  }

  /** As a box, which asks every second. */
  private zygotes(): readonly Zygote[] {
    const { functions, nowMs, options } = this.box;
    const { prewarm } = options.policies;
    if (prewarm.zygotes === undefined || options.packages === undefined) return [];
    if (nowMs - this.plannedMs < PLAN_MS) return this.plan;
    this.plannedMs = nowMs;
    const importing = functions.map(({ packages, usage }) => ({ group: '', packages, misses: usage.misses }));
    this.plan = prewarm.zygotes({ functions: importing, refused: () => false }, nowMs);
    return this.plan;
  }

  private stemsWanted(): number {
    const { functions, asked, nowMs, options } = this.box;
    return options.policies.prewarm.stems({ key: STEM_KEY, functions: functions.length, asked }, nowMs);
  }

  private sweepAfter(timeMs: number): number {
    return (Math.floor(Math.max(timeMs, this.box.nowMs) / DISPATCH.sweepMs) + 1) * DISPATCH.sweepMs;
  }
}
