/** Waiting for things that have no event of their own: a look every few milliseconds, bounded by the test's timeout. */

import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(5);
}

/** Resolves when no process of that pid runs; one that nobody has reaped yet counts as gone. */
export function untilGone(pid: number): Promise<void> {
  return until(() => {
    try {
      return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
    } catch {
      return true;
    }
  });
}
