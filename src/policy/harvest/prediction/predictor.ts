/** A predictor of spare time sees one share of spare time after the other and tells the distribution of the next. */

export interface SparePredictor {
  readonly name: string;
  /** The share (0..1) of the period that just ended. No allocation. */
  observe(spareRatio: number): void;
  /** A share that the next period stays below with this probability; one of QUANTILES. */
  quantile(probability: (typeof QUANTILES)[number]): number;
}

/** Names by the number under which they stand on the board. */
export const PREDICTOR_NAMES: readonly string[] = ['quantile-ewma', 'histogram'];

/** The careful guess, that holds nine times in ten, and the middle. */
export const QUANTILES = [0.1, 0.5] as const;
