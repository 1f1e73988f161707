/** When functions are called in an open loop: Poisson, and the invocations of the Azure trace, scaled in time. Pure. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Arrival } from '../src/lab/callers.js';
import { Random } from '../src/packet/random.js';

const TRACE = fileURLToPath(new URL('../../data/azure2021-200.csv', import.meta.url));
/** A scaled invocation uses at least and at most this much CPU: the start of calls is measured, not their length. */
const BUSY_MIN_MS = 1;
const BUSY_MAX_MS = 10;

/** Without end, at a mean of `perS`, each of the paths in turn. */
export function* poissonArrivals(paths: readonly string[], perS: number, seed: number): Generator<Arrival> {
  const random = new Random(seed);
  for (let i = 0, atMs = 0; ; i++) {
    atMs += random.exponential(1000 / perS);
    yield { atMs, path: paths[i % paths.length]! };
  }
}

export interface TraceCall {
  /** Number of the function, in the order of first calls. */
  fn: number;
  atMs: number;
  busyMs: number;
}

/** The invocations of the trace, squeezed into `seconds`: gaps and durations by the same factor. */
export function scaleTrace(csv: string, seconds: number): TraceCall[] {
  const calls = csv
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => {
      const [app, fn, end, duration] = line.split(',') as [string, string, string, string];
      return {
        id: `${app}/${fn}`,
        startS: Math.max(0, Number(end) - Number(duration)),
        durationS: Number(duration),
      };
    })
    .sort((a, b) => a.startS - b.startS);
  const spanS = Math.max(...calls.map(({ startS }) => startS), 1e-9);
  const factor = seconds / spanS;
  const numbers = new Map<string, number>();
  return calls.map(({ id, startS, durationS }) => {
    if (!numbers.has(id)) numbers.set(id, numbers.size);
    const busyMs = Math.min(BUSY_MAX_MS, Math.max(BUSY_MIN_MS, durationS * 1000 * factor));
    return { fn: numbers.get(id)!, atMs: startS * 1000 * factor, busyMs };
  });
}

export function azureTrace(seconds: number): TraceCall[] {
  return scaleTrace(readFileSync(TRACE, 'utf8'), seconds);
}
