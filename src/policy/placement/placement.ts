/**
 * Which core takes the next call: of those with a free place, the one with the most spare time. A function that was to
 * blame for a conflict lately goes rather where no NF's packets are near their SLO, and not back to the core where it
 * was, until its time there is over. Pure.
 */

import { NO_OFFENCES, type Offences } from '../conflict/offender-history.js';

export interface PlacementCore {
  core: number;
  /** Calls running there, and how many may. */
  running: number;
  budgetRunning: number;
  predictedSpareRatio: number;
  throttleLevel: number;
  /** Share of the strictest SLO there that its packets take now, 0..1; 0: no SLO. See `sloUtilization`. */
  sloUtilization: number;
}

export interface PlacementPolicy {
  readonly name: string;
  /**
   * Called for each call that could start now; `blame`: of its function. Returns an index into `cores`, or -1 to let it
   * wait.
   */
  choose(cores: readonly PlacementCore[], blame?: Offences): number;
}

export const mostSpare: PlacementPolicy = {
  name: 'most-spare',
  choose(cores, blame = NO_OFFENCES) {
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < cores.length; i++) {
      const core = cores[i]!;
      if (core.running >= core.budgetRunning || blame.away.has(core.core)) continue;
      // A throttled core comes last; a running call takes half of what is spare.
      const score =
        core.predictedSpareRatio / (core.running + 1) -
        core.throttleLevel -
        blame.penalty * core.sloUtilization;
      if (score > bestScore) {
        best = i;
        bestScore = score;
      }
    }
    return best;
  },
};

/** An NF with an SLO is never less than this tight: its packets may be well only because nothing disturbs them now. */
const TIGHT_LEAST = 0.2;

/** `sloUs` 0: no NF there says how late is late. `p99Us` is not a number while there are no packets. */
export function sloUtilization(sloUs: number, p99Us: number): number {
  if (sloUs <= 0) return 0;
  const share = p99Us / sloUs;
  return share > TIGHT_LEAST ? Math.min(share, 1) : TIGHT_LEAST;
}
