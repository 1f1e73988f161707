/** The one on the core with the most spare time; of those the most recently used. */

import { definePolicy } from '../policy-entry.js';
import type { SelectionPolicy } from './policy.js';

export const mostSpareSandbox = definePolicy({
  name: 'most-spare',
  about: 'the one whose core has the most spare time, then the most recently used',
  options: {},
  create: (): SelectionPolicy => ({
    name: 'most-spare',
    better(a, b, box) {
      const [spareA, spareB] = [box.spareRatio(a.core), box.spareRatio(b.core)];
      return spareA === spareB ? a.lastUsedMs > b.lastUsedMs : spareA > spareB;
    },
  }),
});
