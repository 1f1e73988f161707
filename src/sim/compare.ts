/** Runs a trace under several sets of policies and capacities, and says what came of each. */

import { NemoError } from '../model/errors.js';
import { createPolicies } from '../policy/policies.js';
import type { PolicyChoice } from '../policy/policy-entry.js';
import type { ImportedPackage } from '../policy/prewarm/policy.js';
import type { Costs } from './costs.js';
import type { SimResult } from './result.js';
import type { Trace } from './trace.js';
import { World } from './world.js';

/** `prewarm+keepAlive[+selection]`, each with options: `fixed:stems=4+ttl:keepAlive=5m`. */
export interface PolicySet {
  text: string;
  prewarm: PolicyChoice;
  keepAlive: PolicyChoice;
  selection?: PolicyChoice;
}

/** BAD_CONFIG for unknown policies and options. */
export function parsePolicySet(text: string): PolicySet {
  const [prewarm, keepAlive = 'ttl', selection, ...more] = text.split('+').map(parseChoice);
  if (more.length > 0 || prewarm === undefined) {
    throw new NemoError('BAD_CONFIG', `"${text}" is not a set of policies`, {
      hint: 'write prewarm+keepAlive or prewarm+keepAlive+selection, for example histogram+greedy-dual',
    });
  }
  const set: PolicySet = { text, prewarm, keepAlive, ...(selection === undefined ? {} : { selection }) };
  createPolicies(set);
  return set;
}

function parseChoice(text: string): PolicyChoice {
  const [policy = '', ...options] = text.trim().split(':');
  const choice: Record<string, string | number> & { policy: string } = { policy };
  for (const option of options) {
    const [key = '', value = ''] = option.split('=');
    choice[key] = Number.isNaN(Number(value)) ? value : Number(value);
  }
  return choice;
}

export interface CompareOptions {
  policies: readonly PolicySet[];
  /** Undefined: no bound. */
  capacitiesBytes: ReadonlyArray<number | undefined>;
  costs: Costs;
  cores?: number;
  /** As in `SimOptions`. */
  packages?: ReadonlyArray<readonly ImportedPackage[]>;
  onStep?: (done: number, total: number, what: string) => void;
}

export async function comparePolicies(trace: Trace, options: CompareOptions): Promise<SimResult[]> {
  const results: SimResult[] = [];
  const { policies, capacitiesBytes, costs, cores, packages } = options;
  const total = policies.length * capacitiesBytes.length;
  for (const capacityBytes of capacitiesBytes) {
    for (const set of policies) {
      options.onStep?.(results.length, total, set.text);
      const world = new World(trace, {
        policies: createPolicies(set),
        costs,
        ...(capacityBytes === undefined ? {} : { capacityBytes }),
        ...(cores === undefined ? {} : { cores }),
        ...(packages === undefined ? {} : { packages }),
      });
      results.push({ ...(await world.run()), policies: set.text });
    }
  }
  options.onStep?.(total, total, 'done');
  return results;
}
