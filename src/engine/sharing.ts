/**
 * Which functions may share a process, in the engines whose sandboxes are threads. None does by default. A sharing
 * group is declared with a deploy, by whoever may deploy there, for functions of one namespace that trust one another.
 * Once deploys have a principal, that principal belongs into this key: a group is one's own, and nobody else's functions
 * get into it by its name.
 */

import type { FunctionSpec } from '../model/function.js';
import { functionKey, keyInPath } from '../model/function-ref.js';

/** The variant of stems that have a process each, for whichever function takes one first. */
export const ALONE = '';

export function sharingVariant({ ref, sharingGroup }: FunctionSpec): string {
  return sharingGroup === undefined ? ALONE : keyInPath(functionKey(ref.namespace, sharingGroup));
}
