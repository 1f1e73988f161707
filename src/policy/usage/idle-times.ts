/**
 * Histogram of a function's idle times, for Shahrad et al. (ATC'20). Theirs has 240 bins of a minute; a box whose
 * sandboxes start in tens of milliseconds wants seconds too, so bins here grow by 19 %: from 1 ms to 4.6 hours.
 */

const PER_OCTAVE = 4;
const BINS = 96;

export class IdleTimes {
  count = 0;
  private squares = 0;
  private bins: Uint32Array | undefined;

  record(ms: number): void {
    this.bins ??= new Uint32Array(BINS);
    const bin = ms < 1 ? 0 : Math.min(Math.floor(Math.log2(ms) * PER_OCTAVE), BINS - 1);
    const before = this.bins[bin]!++;
    this.squares += 2 * before + 1;
    this.count++;
  }

  /** Coefficient of variation of the bins' counts: 0 if all are alike, 9.7 if all idle times fell into one. */
  get variation(): number {
    if (this.count === 0) return 0;
    const mean = this.count / BINS;
    return Math.sqrt(Math.max(0, this.squares / BINS - mean * mean)) / mean;
  }

  /** Start of the bin in which the quantile lies. */
  lowerEdgeMs(quantile: number): number {
    const bin = this.binOf(quantile);
    return bin === 0 ? 0 : 2 ** (bin / PER_OCTAVE);
  }

  upperEdgeMs(quantile: number): number {
    return 2 ** ((this.binOf(quantile) + 1) / PER_OCTAVE);
  }

  private binOf(quantile: number): number {
    if (this.bins === undefined) return 0;
    let left = Math.max(1, Math.ceil(quantile * this.count));
    for (let bin = 0; bin < BINS; bin++) {
      left -= this.bins[bin]!;
      if (left <= 0) return bin;
    }
    return BINS - 1;
  }
}
