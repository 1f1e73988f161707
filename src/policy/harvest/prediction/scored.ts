/**
 * Several predictors side by side for one core and one horizon, scored by what came: pinball loss, the proper
 * score of a quantile (Koenker and Bassett 1978). The one with the lower loss answers. `coverage` tells whether
 * its careful guess deserves its name: it should be near 0.9.
 */

import { PREDICTION } from '../../../tunables/index.js';
import { QUANTILES, type SparePredictor } from './predictor.js';

export interface Calibration {
  predictor: string;
  /** Mean pinball loss over both quantiles, lower is better. */
  loss: number;
  /** Share of periods in which at least as much was spare as the careful guess had said. */
  coverage: number;
}

const CAREFUL = QUANTILES[0];

export class ScoredPredictor {
  private readonly losses: Float64Array;
  private readonly coverages: Float64Array;
  private best = 0;
  private sum = 0;
  private count = 0;

  /** `ticks`: how many ticks of the loop make one period of this horizon. */
  constructor(
    private readonly ticks: number,
    private readonly predictors: readonly SparePredictor[],
  ) {
    this.losses = new Float64Array(predictors.length);
    this.coverages = new Float64Array(predictors.length).fill(1 - CAREFUL);
  }

  /** The share of spare time of so many ticks. At the end of a period the guesses made for it are scored. */
  tick(spareRatio: number, ticks: number = 1): void {
    this.sum += spareRatio * ticks;
    this.count += ticks;
    if (this.count < this.ticks) return;
    const came = this.sum / this.count;
    this.sum = 0;
    this.count = 0;
    const weight = PREDICTION.scoreWeight;
    for (let i = 0; i < this.predictors.length; i++) {
      const predictor = this.predictors[i]!;
      let loss = 0;
      let held = 0;
      for (let q = 0; q < QUANTILES.length; q++) {
        const probability = QUANTILES[q]!;
        const error = came - predictor.quantile(probability);
        if (probability === CAREFUL) held = error >= 0 ? 1 : 0;
        loss += error >= 0 ? probability * error : (probability - 1) * error;
      }
      this.losses[i] = this.losses[i]! + weight * (loss / QUANTILES.length - this.losses[i]!);
      this.coverages[i] = this.coverages[i]! + weight * (held - this.coverages[i]!);
      predictor.observe(came);
      if (this.losses[i]! < this.losses[this.best]!) this.best = i;
    }
  }

  /** The share that the next period will hold with this probability of holding less. */
  quantile(probability: (typeof QUANTILES)[number]): number {
    return this.predictors[this.best]!.quantile(probability);
  }

  calibration(): Calibration {
    return {
      predictor: this.predictors[this.best]!.name,
      loss: this.losses[this.best]!,
      coverage: this.coverages[this.best]!,
    };
  }
}
