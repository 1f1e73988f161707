/** The policies by name. To add one: write its file, put it into its list here. */

import { greedyDual } from './keepalive/greedy-dual.js';
import { histogramKeepAlive } from './keepalive/histogram.js';
import { lru } from './keepalive/lru.js';
import type { KeepAlivePolicy } from './keepalive/policy.js';
import { ttl } from './keepalive/ttl.js';
import { createPolicy, type PolicyChoice } from './policy-entry.js';
import { fixed } from './prewarm/fixed.js';
import { histogram } from './prewarm/histogram.js';
import { none } from './prewarm/none.js';
import type { PrewarmPolicy } from './prewarm/policy.js';
import { reactive } from './prewarm/reactive.js';
import { snapshot } from './prewarm/snapshot.js';
import { template } from './prewarm/template.js';
import { leastLoaded } from './selection/least-loaded.js';
import { mostSpareSandbox } from './selection/most-spare.js';
import { mru } from './selection/mru.js';
import type { SelectionPolicy } from './selection/policy.js';

export const PREWARM_POLICIES = [fixed, template, histogram, reactive, snapshot, none];
export const KEEP_ALIVE_POLICIES = [ttl, lru, greedyDual, histogramKeepAlive];
export const SELECTION_POLICIES = [mru, leastLoaded, mostSpareSandbox];

export interface PoolPolicies {
  prewarm: PrewarmPolicy;
  keepAlive: KeepAlivePolicy;
  selection: SelectionPolicy;
}

/** `defaults`: the values of options where the choice has none, whichever policy has them. BAD_CONFIG. */
export function createPolicies(
  choices: { prewarm?: PolicyChoice; keepAlive?: PolicyChoice; selection?: PolicyChoice },
  defaults: Readonly<Record<string, number>> = {},
): PoolPolicies {
  const prewarm = createPolicy('prewarm', PREWARM_POLICIES, choices.prewarm ?? 'fixed', defaults);
  const release = prewarm.makesAgain === true ? 1 : 0;
  return {
    prewarm,
    keepAlive: createPolicy('keepAlive', KEEP_ALIVE_POLICIES, choices.keepAlive ?? 'ttl', {
      release,
      ...defaults,
    }),
    selection: createPolicy('selection', SELECTION_POLICIES, choices.selection ?? 'mru'),
  };
}
