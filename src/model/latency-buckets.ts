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

/** The smallest value in a bucket, nanoseconds. */
export function bucketLowNs(index: number): number {
  return index < STEPS ? index : (STEPS + (index & (STEPS - 1))) * 2 ** ((index >>> STEP_BITS) - 1);
}

/** 1 %, 5 to 95 %, then the tail: each decade of what is left in ten steps. */
const CDF_SHARES: readonly number[] = [
  0.01,
  ...Array.from({ length: 18 }, (_, i) => 0.05 * (i + 1)),
  ...[0.1, 0.01, 0.001].flatMap((left) =>
    Array.from({ length: 9 }, (_, i) => 1 - left + (left * (i + 1)) / 10),
  ),
  1,
];

export class LatencyBuckets {
  readonly counts: Uint32Array;

  /**
   * `counts` has BUCKET_COUNT entries; without it, private memory is taken. `arrivals` has as many: when the last packet
   * of each bucket was received, nanoseconds since 1970 (a double holds them to 256 ns), 0 = never.
   */
  constructor(
    counts: Uint32Array = new Uint32Array(BUCKET_COUNT),
    private readonly arrivals?: Float64Array,
  ) {
    if (counts.length !== BUCKET_COUNT) throw new RangeError(`expected ${BUCKET_COUNT} buckets`);
    this.counts = counts;
  }

  record(valueNs: number): void {
    const index = bucketOf(valueNs);
    this.counts[index] = this.counts[index]! + 1;
  }

  /** As `record`, and keeps when the packet was received. */
  recordPacket(latencyNs: number, receivedUnixNs: number): void {
    const index = bucketOf(latencyNs);
    this.counts[index] = this.counts[index]! + 1;
    if (this.arrivals !== undefined) this.arrivals[index] = receivedUnixNs;
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

  /** Points [nanoseconds, share not above], rising, finest where it is rare: at most 60. Empty without values. */
  cdf(): Array<[number, number]> {
    const total = this.total();
    if (total === 0) return [];
    const points: Array<[number, number]> = [];
    let seen = 0;
    let wanted = 0;
    for (let i = 0; i < BUCKET_COUNT; i++) {
      seen += this.counts[i]!;
      if (this.counts[i] === 0 || seen / total < CDF_SHARES[wanted]!) continue;
      points.push([bucketMidNs(i), seen / total]);
      while (wanted < CDF_SHARES.length - 1 && CDF_SHARES[wanted]! <= seen / total) wanted++;
    }
    return points;
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
