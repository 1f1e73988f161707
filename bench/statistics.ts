/** Medians, and how far to trust them: a seeded bootstrap, so that the same rounds always give the same bounds. Pure. */

import type { RecordableHistogram } from 'node:perf_hooks';
import { Random } from '../src/packet/random.js';
import type { Estimate } from './types.js';

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const present = (values: ReadonlyArray<number | null | undefined>): number[] =>
  values.filter((value): value is number => typeof value === 'number' && Number.isFinite(value));

const RESAMPLES = 1_000;

/** The median of the values with the 95 % percentile interval of resampled medians; undefined without values. */
export function estimate(values: readonly number[], seed = 1): Estimate | undefined {
  const value = median(values);
  if (value === null) return undefined;
  const random = new Random(seed);
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(values.map(() => values[random.below(values.length)]!)),
  ).sort((a, b) => a! - b!);
  return {
    value,
    low: medians[Math.floor(RESAMPLES * 0.025)]!,
    high: medians[Math.ceil(RESAMPLES * 0.975) - 1]!,
  };
}

const CDF_PERCENTILES: readonly number[] = [
  1,
  ...Array.from({ length: 18 }, (_, i) => 5 * (i + 1)),
  ...Array.from({ length: 9 }, (_, i) => 91 + i),
  ...Array.from({ length: 9 }, (_, i) => 99.1 + i / 10),
  100,
];

/** Points [value / unit, share not above], rising; empty for a histogram without values. */
export function cdfOf(histogram: RecordableHistogram, unit: number): Array<[number, number]> {
  if (histogram.count === 0) return [];
  const points: Array<[number, number]> = [];
  for (const percentile of CDF_PERCENTILES) {
    const value = histogram.percentile(percentile) / unit;
    // Of equal values, the highest share.
    if (points.at(-1)?.[0] === value) points.pop();
    points.push([value, percentile / 100]);
  }
  return points;
}
