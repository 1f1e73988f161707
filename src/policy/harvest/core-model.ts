/**
 * What a core's time went to: the NF, functions, idle. Fed with counters once a tick, keeps ratios over a sliding
 * window and totals from the start. Kernel counters of a running thread lag by up to a tick of the kernel (4 ms),
 * so only windows and totals are meaningful, never one tick.
 */

import { CONTROL, HARVEST, PREDICTION } from '../../tunables/index.js';
import { SpareHistogram } from './prediction/histogram.js';
import { QuantileEwma } from './prediction/quantile-ewma.js';
import { type Calibration, ScoredPredictor } from './prediction/scored.js';

export class CoreModel {
  private readonly nf: Float64Array;
  private readonly fn: Float64Array;
  private readonly wall: Float64Array;
  private next = 0;
  private nfSum = 0;
  private fnSum = 0;
  private wallSum = 0;
  private readonly predictors = PREDICTION.horizonTicks.map(
    (ticks) => new ScoredPredictor(ticks, [new QuantileEwma(), new SpareHistogram()]),
  );
  /** Mean idle windows of the last ticks, microseconds, as a ring for quantiles. */
  private readonly windows = new Float64Array(HARVEST.idleWindowSamples);
  private windowCount = 0;

  totalWallNs = 0;
  totalNfNs = 0;
  totalFunctionNs = 0;
  totalSpareNs = 0;
  totalHarvestedNs = 0;

  constructor(windowTicks: number = Math.ceil((CONTROL.ratioWindowMs * 1000) / CONTROL.periodUs)) {
    this.nf = new Float64Array(windowTicks);
    this.fn = new Float64Array(windowTicks);
    this.wall = new Float64Array(windowTicks);
  }

  /**
   * One look: wall time passed, CPU time of the NF's threads, of functions, and times the NF was put on the core.
   * `ticks`: how many of the loop's ticks it stands for.
   */
  tick(wallNs: number, nfNs: number, functionNs: number, nfSlices: number, ticks: number = 1): void {
    const i = this.next;
    this.nfSum += nfNs - this.nf[i]!;
    this.fnSum += functionNs - this.fn[i]!;
    this.wallSum += wallNs - this.wall[i]!;
    this.nf[i] = nfNs;
    this.fn[i] = functionNs;
    this.wall[i] = wallNs;
    this.next = i + 1 === this.nf.length ? 0 : i + 1;

    const spareNs = Math.max(0, wallNs - nfNs);
    this.totalWallNs += wallNs;
    this.totalNfNs += nfNs;
    this.totalFunctionNs += functionNs;
    // Signed, so that a late counter of the NF in one tick is not counted as spare time twice.
    this.totalSpareNs += wallNs - nfNs;
    this.totalHarvestedNs = Math.min(this.totalFunctionNs, Math.max(0, this.totalSpareNs));

    if (wallNs > 0) {
      const spareRatio = Math.min(1, spareNs / wallNs);
      for (let h = 0; h < this.predictors.length; h++) this.predictors[h]!.tick(spareRatio, ticks);
    }
    this.windows[this.windowCount % this.windows.length] = spareNs / 1000 / Math.max(1, nfSlices);
    this.windowCount++;
  }

  /** Others took so much of what was counted as spare. */
  leaveToOthers(othersNs: number): void {
    this.totalSpareNs -= othersNs;
    this.totalHarvestedNs = Math.min(this.totalFunctionNs, Math.max(0, this.totalSpareNs));
  }

  nfRatio(): number {
    return this.wallSum === 0 ? 0 : clamp(this.nfSum / this.wallSum);
  }

  functionRatio(): number {
    return this.wallSum === 0 ? 0 : clamp(this.fnSum / this.wallSum);
  }

  spareRatio(): number {
    return 1 - this.nfRatio();
  }

  /** Share of the core expected to be spare in the next hundredth of a second. */
  predictedSpareRatio(): number {
    return this.predictors[PREDICTION.placementHorizon]!.quantile(0.5);
  }

  /** Prediction at the horizon that placement goes by: a share that will be there nine times in ten, and its score. */
  prediction(): Calibration & { spareRatioP10: number } {
    const predictor = this.predictors[PREDICTION.placementHorizon]!;
    return { spareRatioP10: predictor.quantile(0.1), ...predictor.calibration() };
  }

  /** The same at each of PREDICTION.horizonTicks. */
  predictions(): Array<Calibration & { spareRatioP10: number }> {
    return this.predictors.map((one) => ({ spareRatioP10: one.quantile(0.1), ...one.calibration() }));
  }

  /** Length of an idle window, microseconds; sorts a copy, so call it a few times a second at most. */
  idleWindowUs(quantile: number): number {
    const count = Math.min(this.windowCount, this.windows.length);
    if (count === 0) return 0;
    const sorted = this.windows.slice(0, count).sort();
    return sorted[Math.min(count - 1, Math.floor(quantile * count))]!;
  }
}

function clamp(ratio: number): number {
  return ratio < 0 ? 0 : Math.min(ratio, 1);
}
