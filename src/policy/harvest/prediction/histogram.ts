/** A histogram of shares that forgets: right for cores that jump between a few states, as bursty traffic makes them. */

import { PREDICTION } from '../../../tunables/index.js';
import type { QUANTILES, SparePredictor } from './predictor.js';

const BINS = 50;

export class SpareHistogram implements SparePredictor {
  readonly name = 'histogram';
  private readonly weights = new Float64Array(BINS);
  private total = 0;
  /** Weight of the next observation: grows instead of shrinking all others, and is brought back now and then. */
  private next = 1;

  observe(spareRatio: number): void {
    const bin = Math.min(BINS - 1, Math.max(0, Math.floor(spareRatio * BINS)));
    this.weights[bin] = this.weights[bin]! + this.next;
    this.total += this.next;
    this.next /= 1 - PREDICTION.histogramForget;
    if (this.next > 1e12) {
      for (let i = 0; i < BINS; i++) this.weights[i] = this.weights[i]! / this.next;
      this.total /= this.next;
      this.next = 1;
    }
  }

  quantile(probability: (typeof QUANTILES)[number]): number {
    if (this.total === 0) return 1;
    let seen = 0;
    for (let i = 0; i < BINS; i++) {
      const weight = this.weights[i]!;
      if (seen + weight >= probability * this.total) {
        // A careful guess must not be more than what was seen: the lower edge.
        return (i + (probability < 0.5 ? 0 : 0.5)) / BINS;
      }
      seen += weight;
    }
    return 1;
  }
}
