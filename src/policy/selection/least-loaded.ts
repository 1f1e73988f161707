/** Fewest calls; of those the least recently used, so that work spreads. For functions that serve several at a time. */

import { definePolicy } from '../policy-entry.js';
import type { SelectionPolicy } from './policy.js';

export const leastLoaded = definePolicy({
  name: 'least-loaded',
  about: 'the one with the fewest calls, then the least recently used',
  options: {},
  create: (): SelectionPolicy => ({
    name: 'least-loaded',
    better: (a, b) => (a.load === b.load ? a.lastUsedMs < b.lastUsedMs : a.load < b.load),
  }),
});
