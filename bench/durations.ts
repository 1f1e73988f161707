/** How long the parts of a bench are expected to take, in seconds: only for the time left that is shown. */

import type { PlanEntry } from './sets.js';
import { SLO_LOOK_S, SLO_LOOKS } from './slo.js';

/** What a round costs beside its measured time, seconds: for the time left only. */
const AGENT_S = 3;
const SOLO_S = 0.3;
const BED_S = 4;
const CALIBRATION_S = 6;
const BOX_S = 12;

export const roundS = (policy: string, seconds: number): number =>
  seconds + (policy === 'solo' ? SOLO_S : AGENT_S);

/** Before the first round of a scenario. */
export function setupS({ loadRatio }: PlanEntry['scenario']): number {
  return BED_S + SLO_LOOKS * SLO_LOOK_S + (loadRatio === null ? 0 : CALIBRATION_S);
}

/** Seconds that an entry takes, roughly. */
export function expectedS({ scenario, policies, rounds, seconds, box }: PlanEntry): number {
  const perRound = policies.reduce((sum, policy) => sum + roundS(policy, seconds), 0);
  return setupS(scenario) + rounds * perRound + (box ? BOX_S : 0);
}
