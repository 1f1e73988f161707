/**
 * The box policies by name: what `--policy` chooses. Each is a row of switches over the same platform, so that a
 * comparison between two of them compares the policy and nothing else.
 */

import { NemoError } from '../errors.js';
import { HARVEST } from '../tunables.js';

export interface BoxPolicy {
  readonly name: string;
  readonly about: string;
  /** Kernel scheduling of function threads. */
  readonly scheduling: 'idle' | 'default';
  /** Weight of functions against the NF, as a nice value: of their threads and of their group. */
  readonly nice: number;
  /** Static cap on all functions together, in cores for each function core; null: none. */
  readonly quotaRatio: number | null;
  /** Fixed shares of time: functions may run in this part of each `HARVEST.sharePeriodMs`; null: always. */
  readonly shareRatio: number | null;
  /** Place and prewarm by predicted spare time rather than by what was spare just now. */
  readonly predict: boolean;
  /** Give an NF's packet threads the protection that their profile names. */
  readonly protectNf: boolean;
  /** Make stems and warm sandboxes ahead of calls, in idle windows. */
  readonly prewarm: boolean;
  /** Let the conflict manager throttle. */
  readonly conflict: boolean;
  /** Calls that may run at once on an NF core. */
  readonly runningPerCore: number;
  /** Calls sent to a busy sandbox ahead of time. */
  readonly sendAhead: number;
}

const NEMO: BoxPolicy = {
  name: 'nemo',
  about: 'harvest at SCHED_IDLE, prewarm in idle windows, protect the NF, throttle on conflict',
  scheduling: 'idle',
  nice: 0,
  quotaRatio: null,
  shareRatio: null,
  predict: true,
  protectNf: true,
  prewarm: true,
  conflict: true,
  runningPerCore: HARVEST.runningPerCore,
  sendAhead: HARVEST.sendAhead,
};

const NAIVE: BoxPolicy = {
  name: 'naive',
  about: 'functions beside the NF at default scheduling, started cold: straightforward co-location',
  scheduling: 'default',
  nice: 0,
  quotaRatio: null,
  shareRatio: null,
  predict: false,
  protectNf: false,
  prewarm: false,
  conflict: false,
  runningPerCore: Number.POSITIVE_INFINITY,
  sendAhead: 0,
};

const POLICIES: readonly BoxPolicy[] = [
  NEMO,
  { ...NEMO, name: 'nemo-no-conflict', about: 'nemo without its conflict manager', conflict: false },
  {
    ...NEMO,
    name: 'nemo-no-predict',
    about: 'nemo that goes by the spare time of now, not by a prediction',
    predict: false,
  },
  {
    ...NAIVE,
    name: 'idle',
    about: 'SCHED_IDLE alone: no prewarming, no protection, no throttling',
    scheduling: 'idle',
  },
  NAIVE,
  { ...NAIVE, name: 'nice19', about: 'naive with functions at nice 19, threads and group alike', nice: 19 },
  {
    ...NAIVE,
    name: 'quota',
    about: 'naive with a static CPU cap: functions together get at most half of the core',
    quotaRatio: HARVEST.staticRatio,
  },
  {
    ...NAIVE,
    name: 'static',
    about:
      'the core split in time by fixed shares: functions run in one half of each period, frozen in the other',
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
