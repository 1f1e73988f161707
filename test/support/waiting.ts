/**
 * The one way in which tests wait. An event is better where there is one, and a virtual clock where time decides; a
 * lint rule forbids timers in tests outside of this file. No chai here: a virtual machine without packages loads it.
 */

import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

const LOOK_EVERY_MS = 10;
/** Outside of tests: in their hooks, and where mocha is not. */
const OTHERWISE_MS = 60_000;
let leftMs = (): number => OTHERWISE_MS;

/** Waits end before the test that waits would, so that the error says what was waited for. Undefined: no test runs. */
export function limitWaits(leftOfTestMs?: () => number): void {
  leftMs = leftOfTestMs ?? (() => OTHERWISE_MS);
}

/** Looks every few milliseconds until it holds. Throws, with the text of the condition, once the limit is over. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what = (): string => `${holds}`,
  limitMs = leftMs(),
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`Waited ${Math.round(limitMs)} ms in vain for: ${what()}`);
    await setTimeout(LOOK_EVERY_MS);
  }
}

/** True once no process of that pid runs (one that nobody has reaped yet counts as gone). */
export function isGone(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return true;
  }
}

export function untilGone(pid: number): Promise<void> {
  return until(() => isGone(pid));
}

/** For tests of time itself: that nothing happens for so long, or that something takes so long. Say why beside it. */
export function letTimePass<T>(ms: number, then?: T): Promise<T> {
  return setTimeout(ms, then as T);
}

/** Something that a stranger does on its own after a while: a server that answers late, a caller who leaves. */
export function later(ms: number, run: () => void): void {
  void setTimeout(ms).then(run);
}
