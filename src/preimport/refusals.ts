/** Packages that must not be imported ahead of calls, alone or together, and until when. */

import type { PackageRef } from '../model/package.js';
import { PACKAGES } from '../tunables/index.js';

interface Refusal {
  untilMs: number;
  times: number;
  why: string;
}

const NEVER_AGAIN = Number.POSITIVE_INFINITY;

export class Refusals {
  /** By the hashes of those that were together. */
  private readonly known = new Map<string, Refusal>();

  isRefused(hashes: readonly string[], nowMs: number): boolean {
    const refusal = this.known.get(hashes.join());
    return refusal !== undefined && nowMs < refusal.untilMs;
  }

  /** Why these are refused for ever; undefined: they are not. */
  whyForEver(packages: readonly PackageRef[]): string | undefined {
    const refusal = this.known.get(keyOf(packages));
    return refusal?.untilMs === NEVER_AGAIN ? refusal.why : undefined;
  }

  refuseForEver(packages: readonly PackageRef[], why: string): void {
    this.known.set(keyOf(packages), { untilMs: NEVER_AGAIN, times: 1, why });
  }

  /** Twice as long each time. */
  refuseForAWhile(packages: readonly PackageRef[], nowMs: number): void {
    const key = keyOf(packages);
    const known = this.known.get(key);
    if (known?.untilMs === NEVER_AGAIN) return;
    const times = (known?.times ?? 0) + 1;
    const waitMs = Math.min(PACKAGES.refusedMs * 2 ** Math.min(times - 1, 16), PACKAGES.refusedMaxMs);
    this.known.set(key, { untilMs: nowMs + waitMs, times, why: 'fails' });
  }

  allow(packages: readonly PackageRef[]): void {
    this.known.delete(keyOf(packages));
  }

  /** Nobody imports any others than these. */
  keepOnly(isImported: (hash: string) => boolean): void {
    for (const key of this.known.keys()) if (!key.split(',').every(isImported)) this.known.delete(key);
  }
}

function keyOf(packages: readonly PackageRef[]): string {
  return packages.map(({ hash }) => hash).join();
}
