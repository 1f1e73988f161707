/** The stores of snapshots as `nemo.yaml` names them: each with its path, or only the budgets of memory and disk. */

import { normalize } from 'node:path';
import { NemoError } from '../model/errors.js';
import { parseBytes } from '../model/quantity.js';
import { DEFAULT_STORES, MEMORY_STORE, STATE_STORE, type StoreConfig } from './stores.js';

const KEY = 'microvm.snapshots';

export interface UserStores {
  memory?: string;
  disk?: string;
  stores?: ReadonlyArray<{ path: string; budget: string }>;
}

/** Throws BAD_CONFIG for stores that are empty or contradict each other. */
export function resolveStores({ memory, disk, stores }: UserStores): readonly StoreConfig[] {
  if (stores === undefined) {
    const budgets: Record<string, [string | undefined, string]> = {
      [MEMORY_STORE]: [memory, `${KEY}.memory`],
      [STATE_STORE]: [disk, `${KEY}.disk`],
    };
    return DEFAULT_STORES.map(({ path, budgetBytes }) => {
      const [given, key] = budgets[path]!;
      return { path, budgetBytes: given === undefined ? budgetBytes : parseBytes(given, key) };
    });
  }
  if (memory !== undefined || disk !== undefined) {
    throw bad('stores and the budgets memory and disk exclude each other', 'give each store its own budget');
  }
  const paths = stores.map(({ path }) => (path.startsWith('/') ? normalize(`${path}/`) : path));
  const twice = paths.find((path, i) => paths.indexOf(path) !== i);
  if (twice !== undefined) throw bad(`${twice} is named twice`, 'name each store once');
  if (paths.every((path) => path === MEMORY_STORE)) {
    throw bad(
      'none of the stores is a directory',
      `memory holds copies only: add one with path: ${STATE_STORE}`,
    );
  }
  return stores.map(({ budget }, i) => ({
    path: paths[i]!,
    budgetBytes: parseBytes(budget, `${KEY}.stores`),
  }));
}

function bad(message: string, hint: string): NemoError {
  return new NemoError('BAD_CONFIG', `${KEY}.stores: ${message}`, { hint });
}
