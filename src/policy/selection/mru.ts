/** Most recently used, on the chosen core first: its caches are warmest, and the others may age and end. */

import { definePolicy } from '../policy-entry.js';
import type { SelectionPolicy } from './policy.js';

export const mru = definePolicy({
  name: 'mru',
  about: 'the most recently used, on the chosen core first',
  options: {},
  create: (): SelectionPolicy => ({
    name: 'mru',
    better(a, b, { core }) {
      if ((a.core === core) !== (b.core === core)) return a.core === core;
      return a.lastUsedMs > b.lastUsedMs;
    },
  }),
});
