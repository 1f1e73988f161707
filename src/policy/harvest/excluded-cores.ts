/**
 * Cores on which no function may run at the moment, whatever their budget: those that are offline, NF cores of another
 * agent, and SMT siblings of NF cores. Two siblings share pipelines and first-level caches, so a function slows the NF
 * beside it in a way that no scheduling and no throttle of its own core stops; and code on one may read from these
 * caches what the other works on. So where the kernel does not keep sandboxes apart (core scheduling), no two siblings
 * are for functions. Pure.
 */

import type { CoreFacts } from '../../model/core-facts.js';

export interface ExcludedCore {
  core: number;
  /** Why, in words; the same words as long as the reason is the same. */
  why: string;
}

/**
 * `nfCores`: cores to which NFs are bound, and one of the NFs of each; `ofOthers`: those whose NFs another agent of this
 * box guards, and its name. `apartFrom`: the housekeeping cores, if siblings are to be kept apart here.
 */
export function excludedCores(
  topology: readonly Pick<CoreFacts, 'id' | 'online' | 'siblings'>[],
  functionCores: readonly number[],
  nfCores: ReadonlyMap<number, string>,
  allowSmtSiblings: boolean,
  ofOthers: ReadonlyMap<number, string> = new Map(),
  apartFrom?: readonly number[],
): ExcludedCore[] {
  const barred = besideNfs(topology, functionCores, nfCores, allowSmtSiblings, ofOthers);
  if (apartFrom === undefined || allowSmtSiblings) return barred;
  const free = functionCores.filter((core) => !barred.some((one) => one.core === core));
  return [...barred, ...besideOthers(topology, free, apartFrom)].sort((a, b) => a.core - b.core);
}

/** One core of each pair stays; none beside the agent, where functions run that find no other core, if there is another. */
function besideOthers(
  topology: readonly Pick<CoreFacts, 'id' | 'siblings'>[],
  free: readonly number[],
  housekeepingCores: readonly number[],
): ExcludedCore[] {
  const siblingIn = (core: number, used: readonly number[]): number | undefined =>
    topology.find(({ id }) => id === core)?.siblings.find((other) => used.includes(other));
  const beside = (used: readonly number[]) => (core: number) => siblingIn(core, used) !== undefined;
  const taken = free.every(beside(housekeepingCores)) ? [] : [...housekeepingCores];
  const barred: ExcludedCore[] = [];
  for (const core of free) {
    const sibling = siblingIn(core, taken);
    if (sibling === undefined) taken.push(core);
    else {
      const why =
        `core ${core} shares a physical core with core ${sibling}, and this kernel cannot keep functions apart there ` +
        '(CONFIG_SCHED_CORE): nothing runs on it (cores: allowSmtSiblings: true allows it)';
      barred.push({ core, why });
    }
  }
  return barred;
}

function besideNfs(
  topology: readonly Pick<CoreFacts, 'id' | 'online' | 'siblings'>[],
  functionCores: readonly number[],
  nfCores: ReadonlyMap<number, string>,
  allowSmtSiblings: boolean,
  ofOthers: ReadonlyMap<number, string>,
): ExcludedCore[] {
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
