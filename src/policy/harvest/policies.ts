/**
 * The box policies by name: what `--policy` chooses. Each is a row of switches over the same platform, so that a
 * comparison between two of them compares the policy and nothing else.
 */

import { NemoError } from '../../model/errors.js';
import { HARVEST } from '../../tunables/index.js';
import type { LadderName } from '../conflict/ladders.js';

/** `nice`: default scheduling at the weakest nice value, 19. */
export type FunctionScheduling = 'idle' | 'default' | 'nice';

export interface BoxPolicy {
  readonly name: string;
  readonly about: string;
  /** Kernel scheduling of function threads. */
  readonly scheduling: FunctionScheduling;
  /** A static cap on all functions together, in cores for each function core; null: none. */
  readonly capRatio: number | null;
  /** Fixed shares of time: functions run in this part of each HARVEST.sharePeriodMs beside an NF; null: always. */
  readonly shareRatio: number | null;
  /** Give an NF's packet threads the protection that their profile names. */
  readonly protectNf: boolean;
  /** Make stems and warm sandboxes ahead of calls, in idle windows. */
  readonly prewarm: boolean;
  /** Let the conflict manager throttle. */
  readonly conflict: boolean;
  /** By which rule it moves a core between the throttle levels. */
  readonly ladder: LadderName;
  /** Go by predicted spare time; without it, by what was spare last. */
  readonly predict: boolean;
  /** Calls that may run at once on an NF core. */
  readonly runningPerCore: number;
  /** Calls sent to a busy sandbox ahead of time. */
  readonly pipelineDepth: number;
}

const NEMO: BoxPolicy = {
  name: 'nemo',
  about: 'harvest at SCHED_IDLE, prewarm in idle windows, protect the NF, throttle on conflict',
  scheduling: 'idle',
  capRatio: null,
  shareRatio: null,
  protectNf: true,
  prewarm: true,
  conflict: true,
  ladder: 'exponential-backoff',
  predict: true,
  runningPerCore: HARVEST.runningPerCore,
  pipelineDepth: HARVEST.sendAhead,
};

/** What an operator gets without NEMO; the rows below each add one thing that he could do by hand. */
const NAIVE: BoxPolicy = {
  name: 'naive',
  about: 'functions beside the NF at default scheduling, started cold: straightforward co-location',
  scheduling: 'default',
  capRatio: null,
  shareRatio: null,
  protectNf: false,
  prewarm: false,
  conflict: false,
  ladder: 'exponential-backoff',
  predict: false,
  runningPerCore: Number.POSITIVE_INFINITY,
  pipelineDepth: 0,
};

const POLICIES: readonly BoxPolicy[] = [
  NEMO,
  { ...NEMO, name: 'nemo-no-conflict', about: 'nemo without its conflict manager', conflict: false },
  { ...NEMO, name: 'nemo-no-predict', about: 'nemo without prediction', predict: false },
  {
    ...NAIVE,
    name: 'idle',
    about: 'SCHED_IDLE alone: no prewarming, no protection, no throttling',
    scheduling: 'idle',
  },
  NAIVE,
  {
    ...NAIVE,
    name: 'nice19',
    about: 'naive with function processes at nice 19, in cgroups of ordinary weight',
    scheduling: 'nice',
  },
  {
    ...NAIVE,
    name: 'quota',
    about: 'naive with a static cap: functions together use at most half of the core',
    capRatio: HARVEST.staticRatio,
  },
  {
    ...NAIVE,
    name: 'static',
    about: 'the core split in time: functions may run in one half of each 20 ms and are frozen in the other',
    shareRatio: HARVEST.staticRatio,
  },
];

export const POLICY_NAMES: readonly string[] = POLICIES.map((policy) => policy.name);

/** Throws BAD_CONFIG naming the known policies. */
export function policyByName(name: string): BoxPolicy {
  const found = POLICIES.find((policy) => policy.name === name);
  if (found === undefined) {
    throw new NemoError('BAD_CONFIG', `no policy is called "${name}"`, {
      hint: `choose one of: ${POLICY_NAMES.join(', ')}`,
    });
  }
  return found;
}
