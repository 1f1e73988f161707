/**
 * Cores on which no function may run at the moment, whatever their budget: those that are offline, NF cores of another
 * agent, and SMT siblings of NF cores. Two siblings share pipelines and first-level caches, so a function slows the NF beside it in a way that no
 * scheduling and no throttle of its own core stops. Pure.
 */

import type { CoreFacts } from '../linux/topology.js';

export interface BarredCore {
  core: number;
  /** Why, in words; the same words as long as the reason is the same. */
  why: string;
}

/**
 * `nfCores`: cores to which NFs are bound, and one of the NFs of each; `ofOthers`: those whose NFs another agent of this
 * box guards, and its name.
 */
export function barredCores(
  topology: readonly Pick<CoreFacts, 'id' | 'online' | 'siblings'>[],
  functionCores: readonly number[],
  nfCores: ReadonlyMap<number, string>,
  allowSmtSiblings: boolean,
  ofOthers: ReadonlyMap<number, string> = new Map(),
): BarredCore[] {
  return functionCores.flatMap((core) => {
    const facts = topology.find(({ id }) => id === core);
    if (facts === undefined || !facts.online) return [{ core, why: `core ${core} is offline` }];
    const other = ofOthers.get(core);
    if (other !== undefined) return [{ core, why: `core ${core} is an NF core of the agent ${other}` }];
    const sibling = allowSmtSiblings ? undefined : facts.siblings.find((one) => nfCores.has(one));
    if (sibling === undefined) return [];
    const why =
      `core ${core} shares a physical core with core ${sibling} of ${nfCores.get(sibling)}: ` +
      'nothing is harvested there (cores: allowSmtSiblings: true allows it)';
    return [{ core, why }];
  });
}
