/**
 * Quantiles that follow the stream: each observation pulls an estimate up or down by steps whose sizes are in the
 * proportion of its probability (stochastic approximation, Robbins and Monro 1951). The step follows the mean
 * deviation, so that a calm core is predicted finely and a bursty one quickly.
 */

import { PREDICTION } from '../../../tunables/index.js';
import { QUANTILES, type SparePredictor } from './predictor.js';

export class QuantileEwma implements SparePredictor {
  readonly name = 'quantile-ewma';
  private readonly estimates = new Float64Array(QUANTILES.length).fill(1);
  private deviation = 0.1;
  private mean = 1;

  observe(spareRatio: number): void {
    const weight = PREDICTION.ewmaWeight;
    this.deviation += weight * (Math.abs(spareRatio - this.mean) - this.deviation);
    this.mean += weight * (spareRatio - this.mean);
    const step = PREDICTION.stepShare * Math.max(this.deviation, PREDICTION.deviationMin);
    for (let i = 0; i < QUANTILES.length; i++) {
      const estimate = this.estimates[i]!;
      const moved = estimate + step * (spareRatio >= estimate ? QUANTILES[i]! : QUANTILES[i]! - 1) * 2;
      this.estimates[i] = Math.min(Math.max(moved, 0), 1);
    }
  }

  quantile(probability: (typeof QUANTILES)[number]): number {
    return this.estimates[QUANTILES.indexOf(probability)]!;
  }
}
