/**
 * A latency histogram of fixed memory that lives in any typed array: also in memory shared with another process.
 * Log-linear as HdrHistogram: 16 steps an octave, so a value is known within 6.25 %. Unit: nanoseconds.
 * The writer only ever counts up; a reader takes differences, so neither needs a lock.
 */

const STEP_BITS = 4;
const STEPS = 1 << STEP_BITS;
/** Octaves above the linear part: 2^(4+32) ns is 68 s. */
const OCTAVES = 32;

export const BUCKET_COUNT = STEPS * (OCTAVES + 1);

/** Index of the bucket of a value in nanoseconds (negative counts as 0, what is too large as the last). */
export function bucketOf(valueNs: number): number {
  if (valueNs < STEPS) return valueNs < 0 ? 0 : valueNs | 0;
  if (valueNs < 0x80000000) {
    const v = valueNs | 0;
    const octave = 31 - Math.clz32(v) - STEP_BITS;
    return ((octave + 1) << STEP_BITS) + ((v >>> octave) & (STEPS - 1));
  }
  const high = Math.floor(valueNs / 65536);
  const index = bucketOf(Math.min(high, 0x7fffffff)) + (16 << STEP_BITS);
  return index < BUCKET_COUNT ? index : BUCKET_COUNT - 1;
}

/** The middle of a bucket, nanoseconds. */
export function bucketMidNs(index: number): number {
  if (index < STEPS) return index;
  const octave = (index >>> STEP_BITS) - 1;
  const scale = 2 ** octave;
  return (STEPS + (index & (STEPS - 1))) * scale + (scale - 1) / 2;
}

export class LatencyBuckets {
  readonly counts: Uint32Array;

  /** `counts` has BUCKET_COUNT entries; without it, private memory is taken. */
  constructor(counts: Uint32Array = new Uint32Array(BUCKET_COUNT)) {
    if (counts.length !== BUCKET_COUNT) throw new RangeError(`expected ${BUCKET_COUNT} buckets`);
    this.counts = counts;
  }

  record(valueNs: number): void {
    const index = bucketOf(valueNs);
    this.counts[index] = this.counts[index]! + 1;
  }

  total(): number {
    let sum = 0;
    for (let i = 0; i < BUCKET_COUNT; i++) sum += this.counts[i]!;
    return sum;
  }

  /** The value below which the share `quantile` (0..1) lies, nanoseconds; NaN when empty. */
  quantileNs(quantile: number, total: number = this.total()): number {
    if (total === 0) return Number.NaN;
    const wanted = Math.max(1, Math.ceil(quantile * total));
    let seen = 0;
    for (let i = 0; i < BUCKET_COUNT; i++) {
      seen += this.counts[i]!;
      if (seen >= wanted) return bucketMidNs(i);
    }
    return bucketMidNs(BUCKET_COUNT - 1);
  }

  /** Adds `now - before` to this and makes `before` equal to `now`: how a reader follows a writer. */
  addDifference(now: Uint32Array, before: Uint32Array): number {
    let added = 0;
    for (let i = 0; i < BUCKET_COUNT; i++) {
      const current = now[i]!;
      const difference = (current - before[i]!) >>> 0;
      if (difference !== 0) {
        this.counts[i] = this.counts[i]! + difference;
        before[i] = current;
        added += difference;
      }
    }
    return added;
  }

  clear(): void {
    this.counts.fill(0);
  }
}
