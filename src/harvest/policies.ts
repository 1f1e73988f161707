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
  /** Give an NF's packet threads the protection that their profile names. */
  readonly protectNf: boolean;
  /** Make stems and warm sandboxes ahead of calls, in idle windows. */
  readonly prewarm: boolean;
  /** Let the conflict manager throttle. */
  readonly conflict: boolean;
  /** Go by predicted spare time; without it, by what was spare last. */
  readonly predict: boolean;
  /** Calls that may run at once on an NF core. */
  readonly runningPerCore: number;
  /** Calls sent to a busy sandbox ahead of time. */
  readonly sendAhead: number;
}

const NEMO: BoxPolicy = {
  name: 'nemo',
  about: 'harvest at SCHED_IDLE, prewarm in idle windows, protect the NF, throttle on conflict',
  scheduling: 'idle',
  protectNf: true,
  prewarm: true,
  conflict: true,
  predict: true,
  runningPerCore: HARVEST.runningPerCore,
  sendAhead: HARVEST.sendAhead,
};

const POLICIES: readonly BoxPolicy[] = [
  NEMO,
  { ...NEMO, name: 'nemo-no-conflict', about: 'nemo without its conflict manager', conflict: false },
  { ...NEMO, name: 'nemo-no-predict', about: 'nemo without prediction', predict: false },
  {
    ...NEMO,
    name: 'idle',
    about: 'SCHED_IDLE alone: no prewarming, no protection, no throttling',
    protectNf: false,
    prewarm: false,
    conflict: false,
    predict: false,
    runningPerCore: Number.POSITIVE_INFINITY,
    sendAhead: 0,
  },
  {
    name: 'naive',
    about: 'functions beside the NF at default scheduling, started cold: straightforward co-location',
    scheduling: 'default',
    protectNf: false,
    prewarm: false,
    conflict: false,
    predict: false,
    runningPerCore: Number.POSITIVE_INFINITY,
    sendAhead: 0,
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
