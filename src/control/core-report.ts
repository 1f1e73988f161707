/** What the board says of a core ten times a second: what costs too much to work out each tick, and no decision depends on. */

import { type Board, Core, type CoreField, HORIZON_FIELDS } from '../model/board.js';
import { PREDICTOR_NAMES } from '../policy/harvest/prediction/predictor.js';
import type { CoreController } from './core-controller.js';
import type { NfStats } from './messages.js';

/** `stats`: of the core's NFs. */
export function publishReport(
  board: Board,
  { core, model, others }: CoreController,
  stats: readonly NfStats[],
): void {
  // Of those that have a figure: one without must not hide the others'.
  const worst = (key: 'p50Us' | 'p99Us' | 'p999Us'): number => {
    const known = stats.flatMap((stat) => stat[key] ?? []);
    return known.length === 0 ? Number.NaN : Math.max(...known);
  };
  board.set(core, Core.p50Us, worst('p50Us'));
  board.set(core, Core.p99Us, worst('p99Us'));
  board.set(core, Core.p999Us, worst('p999Us'));
  const { spareRatioP10, coverage, predictor } = model.prediction();
  board.set(core, Core.predictedP10, Math.max(0, spareRatioP10 - others.ratio));
  board.set(core, Core.predictionCoverage, coverage);
  board.set(core, Core.predictor, PREDICTOR_NAMES.indexOf(predictor));
  for (const [i, one] of model.predictions().entries()) {
    const at = Core.horizons + i * HORIZON_FIELDS;
    board.set(core, at as CoreField, PREDICTOR_NAMES.indexOf(one.predictor));
    board.set(core, (at + 1) as CoreField, one.spareRatioP10);
    board.set(core, (at + 2) as CoreField, one.coverage);
  }
  board.set(core, Core.idleWindowP50Us, model.idleWindowUs(0.5));
  board.set(core, Core.idleWindowP90Us, model.idleWindowUs(0.9));
}
