/** On which core a sandbox is made ahead of calls. */

import { type Board, Core } from '../model/board.js';
import { LADDER } from '../policy/conflict/ladder.js';

/** The function core with the most predicted spare time on which prewarming is allowed now, or -1. */
export function coreToGrowOn(board: Board, functionCores: readonly number[]): number {
  let best = -1;
  let most = 0;
  for (const core of functionCores) {
    if (!LADDER[board.get(core, Core.throttleLevel)]!.prewarm) continue;
    if (board.get(core, Core.budgetRunning) === 0) continue;
    const spare = board.get(core, Core.predictedSpareRatio);
    if (spare >= most) {
      best = core;
      most = spare;
    }
  }
  return best;
}
