/**
 * Stems that have imported packages ahead: what is known of packages, which stem may serve which function, and which
 * stems there should be. A stem with packages serves one function, of the same sharing group (or of none, as it), that
 * imports every one of them, by hash, and for which they would have seen and done the same: they read nothing that its
 * environment sets, changed nothing, left nothing to do and printed nothing. Before packages share a stem, each is
 * tried in a stem of its own.
 */

import { type StemKind, stemKind } from '../engine/engines.js';
import type { FunctionSpec } from '../model/function.js';
import type { PackageRef } from '../model/package.js';
import type { ImportingFunction, PrewarmPolicy } from '../policy/prewarm/policy.js';
import type { FunctionUsage } from '../policy/usage/usage.js';
import type { AheadReport } from '../sandbox/engine.js';
import { PACKAGES, POOL } from '../tunables/index.js';

/** A kind of stem that has imported packages. */
export interface PreimportKind extends StemKind {
  readonly group: string;
  readonly packages: readonly PackageRef[];
}

export interface WantedPreimport {
  kind: PreimportKind;
  wanted: number;
}

interface Refusal {
  untilMs: number;
  times: number;
  why: string;
}

const PLAN_MS = 1_000;
const NEVER_AGAIN = Number.POSITIVE_INFINITY;

export class PreimportStems {
  /** By hash: what a stem of its own told. */
  private readonly tried = new Map<string, AheadReport>();
  /** By the hashes of those that were together. */
  private readonly refusals = new Map<string, Refusal>();
  private plan: WantedPreimport[] = [];
  private plannedMs = Number.NEGATIVE_INFINITY;

  /** What importing a stem's packages would cost the function, ms; undefined: the stem must not serve it. */
  saves(kind: PreimportKind, spec: FunctionSpec, nowMs: number): number | undefined {
    if (kind.group !== (spec.sharingGroup ?? '') || kind.engine !== spec.engine) return undefined;
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

  /** Which stems with packages the policy wants; of packages that were never tried, stems to try them in. */
  wanted(
    functions: Iterable<{ spec: FunctionSpec; usage: FunctionUsage }>,
    policy: PrewarmPolicy,
    nowMs: number,
  ): readonly WantedPreimport[] {
    if (policy.zygotes === undefined || nowMs - this.plannedMs < PLAN_MS) return this.plan;
    this.plannedMs = nowMs;
    const refs = new Map<string, { ref: PackageRef; engine: string }>();
    const importing: ImportingFunction[] = [];
    for (const { spec, usage } of functions) {
      if (spec.packages === undefined) continue;
      for (const ref of spec.packages) refs.set(ref.hash, { ref, engine: spec.engine });
      const packages = this.usable(spec, nowMs).map((ref) => ({ hash: ref.hash, ...this.cost(ref) }));
      if (packages.length > 0)
        importing.push({ group: spec.sharingGroup ?? '', packages, misses: usage.misses });
    }
    for (const hash of this.tried.keys()) if (!refs.has(hash)) this.tried.delete(hash);
    for (const key of this.refusals.keys()) {
      if (!key.split(',').every((hash) => refs.has(hash))) this.refusals.delete(key);
    }
    const refused = (hashes: readonly string[]) => this.refused(hashes, nowMs);
    const plan = new Map<string, WantedPreimport>();
    for (const { group, hashes, stems } of policy.zygotes({ functions: importing, refused }, nowMs)) {
      const untried = hashes.find((hash) => !this.tried.has(hash));
      const now = untried === undefined ? hashes : [untried];
      const { engine } = refs.get(now[0]!)!;
      const kind = zygoteKind(
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

  /** A stem has imported its packages. False: it must not be used, and `why` says so. */
  imported(
    { packages }: PreimportKind,
    report: AheadReport | undefined,
  ): { ok: true } | { ok: false; why: string } {
    this.plannedMs = Number.NEGATIVE_INFINITY;
    const hashes = packages.map(({ hash }) => hash);
    const key = hashes.join();
    const known = this.refusals.get(key);
    // Printed while it was imported: known before it said that it is ready.
    if (known?.untilMs === NEVER_AGAIN) return { ok: false, why: known.why };
    this.refusals.delete(key);
    const why = report === undefined ? 'tells nothing of its import' : report.effect;
    if (why !== undefined) {
      this.refuse(key, why);
      return { ok: false, why };
    }
    if (hashes.length === 1) this.tried.set(key, report!);
    return { ok: true };
  }

  /** A stem's packages printed something. */
  printed({ packages }: PreimportKind): void {
    this.refuse(packages.map(({ hash }) => hash).join(), 'prints');
  }

  private refuse(key: string, why: string): void {
    this.plannedMs = Number.NEGATIVE_INFINITY;
    this.refusals.set(key, { untilMs: NEVER_AGAIN, times: 1, why });
  }

  /** A stem did not come to be, or ended by itself: its packages are left to functions, for a while. */
  failed({ packages }: PreimportKind, nowMs: number): void {
    this.plannedMs = Number.NEGATIVE_INFINITY;
    const key = packages.map(({ hash }) => hash).join();
    const known = this.refusals.get(key);
    if (known?.untilMs === NEVER_AGAIN) return;
    const times = (known?.times ?? 0) + 1;
    const waitMs = Math.min(PACKAGES.refusedMs * 2 ** Math.min(times - 1, 16), PACKAGES.refusedMaxMs);
    this.refusals.set(key, { untilMs: nowMs + waitMs, times, why: 'fails' });
  }

  /** Of a function's packages, those that may be imported before it is known that it is this function. */
  private usable({ packages = [], env }: FunctionSpec, nowMs: number): PackageRef[] {
    const names = Object.keys(env);
    return packages.filter(({ hash }) => {
      if (this.refused([hash], nowMs)) return false;
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

  private refused(hashes: readonly string[], nowMs: number): boolean {
    const refusal = this.refusals.get(hashes.join());
    return refusal !== undefined && nowMs < refusal.untilMs;
  }
}

export function isPreimport(kind: StemKind): kind is PreimportKind {
  return 'packages' in kind;
}

function zygoteKind(engine: string, group: string, packages: readonly PackageRef[]): PreimportKind {
  const hashes = packages.map(({ hash }) => hash).join();
  return { ...stemKind(engine), key: `${engine}/${group}:${hashes}`, group, packages };
}
