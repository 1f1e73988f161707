/**
 * Quantities as people write them: `128Mi`, `1G`, `30s`, `500ms`. Memory without a unit is bytes; a time as a
 * string needs its unit, because `30` could mean anything (as a number it is milliseconds).
 */

import { NemoError } from './errors.js';

const BYTE_UNITS: Record<string, number> = {
  '': 1,
  k: 1e3,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

const TIME_UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3 };

/** Bytes, a whole number. `what` names the field in the BAD_REQUEST that a malformed quantity gets. */
export function parseBytes(quantity: string | number, what: string): number {
  const bytes = typeof quantity === 'number' ? quantity : parse(quantity, BYTE_UNITS);
  if (Number.isFinite(bytes) && bytes >= 0) return Math.round(bytes);
  throw new NemoError('BAD_REQUEST', `${what} is ${show(quantity)}, which is not an amount of memory`, {
    hint: 'write bytes, or a number with Ki, Mi, Gi, k, M or G, for example 128Mi',
  });
}

/** Milliseconds. Errors as `parseBytes`. */
export function parseDurationMs(quantity: string | number, what: string): number {
  const ms = typeof quantity === 'number' ? quantity : parse(quantity, TIME_UNITS);
  if (Number.isFinite(ms) && ms >= 0) return ms;
  throw new NemoError('BAD_REQUEST', `${what} is ${show(quantity)}, which is not a duration`, {
    hint: 'write a number with its unit ms, s, m or h, for example 30s',
  });
}

/** The shortest exact-enough form with a binary unit: `128Mi`, `1.5Gi`. */
export function formatBytes(bytes: number): string {
  for (const unit of ['Gi', 'Mi', 'Ki']) {
    const size = BYTE_UNITS[unit]!;
    if (bytes >= size) return `${trim(bytes / size)}${unit}`;
  }
  return `${bytes}B`;
}

export function formatDurationMs(ms: number): string {
  for (const unit of ['h', 'm', 's']) {
    const size = TIME_UNITS[unit]!;
    if (ms >= size) return `${trim(ms / size)}${unit}`;
  }
  return `${trim(ms)}ms`;
}

function parse(text: unknown, units: Record<string, number>): number {
  const match = typeof text === 'string' ? /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(text) : null;
  const scale = match === null || !Object.hasOwn(units, match[2]!) ? Number.NaN : units[match[2]!]!;
  return match === null ? Number.NaN : Number(match[1]) * scale;
}

function trim(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function show(value: unknown): string {
  return typeof value === 'string' ? `'${value.slice(0, 40)}'` : String(value).slice(0, 40);
}
