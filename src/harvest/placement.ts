/** Which core takes the next call: of those with a free place, the one with the most spare time. Pure. */

export interface PlacementCore {
  core: number;
  /** Calls running there, and how many may. */
  running: number;
  budgetRunning: number;
  predictedSpareRatio: number;
  throttleLevel: number;
}

export interface PlacementPolicy {
  readonly name: string;
  /** Called for each call that could start now. Returns an index into `cores`, or -1 to let it wait. */
  choose(cores: readonly PlacementCore[]): number;
}

export const mostSpare: PlacementPolicy = {
  name: 'most-spare',
  choose(cores) {
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < cores.length; i++) {
      const core = cores[i]!;
      if (core.running >= core.budgetRunning) continue;
      // A throttled core comes last; a running call takes half of what is spare.
      const score = core.predictedSpareRatio / (core.running + 1) - core.throttleLevel;
      if (score > bestScore) {
        best = i;
        bestScore = score;
      }
    }
    return best;
  },
};
