/**
 * What 100 % load is: the highest rate that the NF alone forwards without loss, by a bounded search. The generator
 * shares its core with the agent, so rates end where it is the limit: then the NF's capacity is at least that.
 */

import { NemoError } from '../src/model/errors.js';
import type { CapacityResult } from './types.js';

export interface Trial {
  perS: number;
  lossRatio: number;
  /** Share of its core that the NF used. */
  nfRatio: number;
  notSentRatio: number;
}

/** A stall of the machine may cost a few packets: this share is none. */
const LOSS_NONE = 0.0005;
/** The generator fell behind. */
const BEHIND = 0.02;
/** The search ends when it knows the rate this well. */
const PRECISION = 0.08;
const TRIALS_MAX = 7;

/** `measure` tries a rate. `firstPerS` is where the search begins, `maxPerS` where it ends. */
export async function findCapacity(
  measure: (perS: number) => Promise<Trial>,
  { firstPerS, maxPerS }: { firstPerS: number; maxPerS: number },
): Promise<Omit<CapacityResult, 'nfCost'>> {
  const trials: Trial[] = [];
  let good = 0;
  let bad = Number.POSITIVE_INFINITY;
  let limitedBy: CapacityResult['limitedBy'] = 'nothing found below the cap';
  for (let perS = Math.min(firstPerS, maxPerS); trials.length < TRIALS_MAX; ) {
    const trial = await measure(perS);
    trials.push(trial);
    if (trial.notSentRatio > BEHIND) {
      bad = perS;
      limitedBy = 'generator';
    } else if (trial.lossRatio > LOSS_NONE) {
      bad = perS;
      limitedBy = 'nf';
    } else {
      good = perS;
      if (perS >= maxPerS) break;
    }
    if (good > 0 && bad / good < 1 + PRECISION) break;
    if (bad === Number.POSITIVE_INFINITY) {
      // Where the NF's core would be full, were each packet as dear as now; it gets cheaper in larger batches.
      const full = perS / Math.max(0.05, trial.nfRatio);
      perS = Math.min(maxPerS, Math.max(perS * 1.25, Math.min(full, perS * 2)));
    } else perS = good === 0 ? bad / 2 : (good + bad) / 2;
  }
  if (good === 0) {
    const least = Math.round(trials.at(-1)!.perS);
    throw new NemoError('INTERNAL', `the NF lost packets at every rate tried, down to ${least}/s`);
  }
  return {
    packetsPerS: Math.round(good),
    limitedBy: good >= maxPerS ? 'nothing found below the cap' : limitedBy,
    trials: trials.map(({ perS, ...rest }) => ({ packetsPerS: Math.round(perS), ...rest })),
  };
}
