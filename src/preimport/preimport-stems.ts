/**
 * Stems that have imported packages of functions ahead of calls. Such a stem serves one function, of the same sharing group
 * (or of none, as it), that imports every one of its packages, by hash, and for which they would have seen and done the same:
 * they read nothing that its environment sets, changed nothing, left nothing to do and printed nothing. Before packages share
 * a stem, each is tried in a stem of its own. Which packages deserve a stem is the policy's to say.
 */

import { stemKind } from '../engine/engines.js';
import { sharingVariant } from '../engine/sharing.js';
import type { FunctionSpec } from '../model/function.js';
import type { PackageRef } from '../model/package.js';
import type { ImportingFunction, PrewarmPolicy } from '../policy/prewarm/policy.js';
import type { FunctionUsage } from '../policy/usage/usage.js';
import type { AheadKind, StemSource, WantedStems } from '../pool/stem-source.js';
import type { AheadReport } from '../sandbox/engine.js';
import { DISPATCH, PACKAGES, POOL } from '../tunables/index.js';
import { Refusals } from './refusals.js';

interface PreimportKind extends AheadKind {
  readonly group: string;
  readonly packages: readonly PackageRef[];
}

const PLAN_MS = 1_000;

/** Undefined: the policy wants no such stems. */
export function preimportStems(policy: PrewarmPolicy): StemSource | undefined {
  const plan = policy.zygotes?.bind(policy);
  return plan && new PreimportStems(plan);
}

class PreimportStems implements StemSource<PreimportKind> {
  /** By hash: what a stem of its own told. */
  private readonly tried = new Map<string, AheadReport>();
  private readonly refusals = new Refusals();
  private plan: Array<WantedStems<PreimportKind>> = [];
  /** It is planned again then; and as soon as may be, where something of packages became known. */
  private nextMs = Number.NEGATIVE_INFINITY;
  private restedMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly policy: NonNullable<PrewarmPolicy['zygotes']>) {}

  /** Of packages that were never tried, stems to try them in. */
  wanted(
    functions: Iterable<{ spec: FunctionSpec; usage: FunctionUsage }>,
    nowMs: number,
  ): ReadonlyArray<WantedStems<PreimportKind>> {
    if (nowMs < this.nextMs) return this.plan;
    const refs = new Map<string, { ref: PackageRef; engine: string }>();
    const importing: ImportingFunction[] = [];
    let looked = 0;
    for (const { spec, usage } of functions) {
      if (spec.packages === undefined) continue;
      looked += spec.packages.length;
      for (const ref of spec.packages) refs.set(ref.hash, { ref, engine: spec.engine });
      const packages = this.usable(spec, nowMs).map((ref) => ({ hash: ref.hash, ...this.cost(ref) }));
      if (packages.length > 0)
        importing.push({ group: sharingVariant(spec), packages, misses: usage.misses });
    }
    const restMs = looked * PACKAGES.planRestMs;
    // The planner looks no more often than that.
    this.restedMs = restMs > DISPATCH.sweepMs ? nowMs + restMs : nowMs;
    this.nextMs = Math.max(nowMs + PLAN_MS, this.restedMs);
    for (const hash of this.tried.keys()) if (!refs.has(hash)) this.tried.delete(hash);
    this.refusals.keepOnly((hash) => refs.has(hash));
    const refused = (hashes: readonly string[]) => this.refusals.isRefused(hashes, nowMs);
    const plan = new Map<string, WantedStems<PreimportKind>>();
    for (const { group, hashes, stems } of this.policy({ functions: importing, refused }, nowMs)) {
      const untried = hashes.find((hash) => !this.tried.has(hash));
      const now = untried === undefined ? hashes : [untried];
      const { engine } = refs.get(now[0]!)!;
      const kind = kindOf(
        engine,
        group,
        now.map((hash) => refs.get(hash)!.ref),
      );
      const wanted = untried === undefined ? stems : 1;
      if (!plan.has(kind.key)) plan.set(kind.key, { kind, wanted });
    }
    this.plan = [...plan.values()];
    return this.plan;
  }

  imports({ packages }: PreimportKind): readonly PackageRef[] {
    return packages;
  }

  refuses({ packages }: PreimportKind, report: AheadReport | undefined): string | undefined {
    this.nextMs = this.restedMs;
    // Printed while it was imported: known before it said that it is ready.
    const known = this.refusals.whyForEver(packages);
    if (known !== undefined) return known;
    this.refusals.allow(packages);
    const why = report === undefined ? 'tells nothing of its import' : report.effect;
    if (why !== undefined) this.refusals.refuseForEver(packages, why);
    else if (packages.length === 1) this.tried.set(packages[0]!.hash, report!);
    return why;
  }

  printed({ packages }: PreimportKind): void {
    this.nextMs = this.restedMs;
    this.refusals.refuseForEver(packages, 'prints');
  }

  /** Its packages are left to functions, for a while. */
  failed({ packages }: PreimportKind, nowMs: number): void {
    this.nextMs = this.restedMs;
    this.refusals.refuseForAWhile(packages, nowMs);
  }

  saves(kind: PreimportKind, spec: FunctionSpec, nowMs: number): number | undefined {
    if (kind.group !== sharingVariant(spec) || kind.engine !== spec.engine) return undefined;
    const usable = new Set(this.usable(spec, nowMs).map(({ hash }) => hash));
    let [loadMs, bytes] = [0, 0];
    for (const one of kind.packages) {
      if (!usable.has(one.hash) || !this.tried.has(one.hash)) return undefined;
      const cost = this.cost(one);
      loadMs += cost.loadMs;
      bytes += cost.bytes;
    }
    // Its limit becomes that of the function, and may not be below what it holds.
    return spec.memoryBytes < POOL.residentBytes + bytes ? undefined : loadMs;
  }

  /** Of a function's packages, those that may be imported before it is known that it is this function. */
  private usable({ packages = [], env }: FunctionSpec, nowMs: number): PackageRef[] {
    const names = Object.keys(env);
    return packages.filter(({ hash }) => {
      if (this.refusals.isRefused([hash], nowMs)) return false;
      const seen = this.tried.get(hash);
      if (seen === undefined || names.length === 0) return true;
      return !seen.readsAll && !seen.reads.some((name) => Object.hasOwn(env, name));
    });
  }

  private cost({ hash, bytes }: PackageRef): { loadMs: number; bytes: number } {
    const seen = this.tried.get(hash);
    const [loadMs, held] = [(bytes / 1024) * PACKAGES.importMsPerKib, bytes * PACKAGES.heldPerByte];
    if (seen === undefined) return { loadMs, bytes: held };
    // Its own word: nobody gets more of the stems by telling much.
    return { loadMs: Math.min(seen.cpuMs, loadMs * PACKAGES.toldMaxRatio), bytes: seen.bytes };
  }
}

function kindOf(engine: string, group: string, packages: readonly PackageRef[]): PreimportKind {
  const hashes = packages.map(({ hash }) => hash).join();
  const ahead = packages.map(({ name }) => name);
  return { ...stemKind(engine), key: `${engine}/${group}:${hashes}`, group, packages, ahead };
}
