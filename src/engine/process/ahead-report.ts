/** What a stem says of the packages that it imported, which is the word of their code: numbers are bounded, text is cut. */

import type { AheadReport } from '../../sandbox/engine.js';
import { PACKAGES } from '../../tunables/index.js';

const NAMES_MAX = 1_000;
const TEXT_MAX = 200;

/** Undefined: it said nothing, or nothing that can be used. */
export function readReport(told: unknown): AheadReport | undefined {
  if (typeof told !== 'object' || told === null) return undefined;
  const { cpuMs, bytes, reads, readsAll, effect } = told as Partial<Record<keyof AheadReport, unknown>>;
  const names = Array.isArray(reads) ? reads.filter(isName) : [];
  return {
    cpuMs: bounded(cpuMs, PACKAGES.importMaxMs),
    bytes: bounded(bytes, PACKAGES.heldMaxBytes),
    reads: names.slice(0, NAMES_MAX),
    readsAll: readsAll !== false || names.length > NAMES_MAX,
    ...(effect === undefined
      ? {}
      : { effect: typeof effect === 'string' ? effect.slice(0, TEXT_MAX) : 'it has an effect' }),
  };
}

function isName(name: unknown): name is string {
  return typeof name === 'string' && name.length <= TEXT_MAX;
}

function bounded(value: unknown, most: number): number {
  return typeof value === 'number' && value >= 0 ? Math.min(value, most) : 0;
}
