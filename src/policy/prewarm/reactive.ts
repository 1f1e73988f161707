/**
 * Reactive scaling of the pool: whenever calls of a function missed a ready sandbox often enough, it is given some
 * more. They go again when the misses are long past.
 */

import { definePolicy } from '../policy-entry.js';
import { STEMS } from './options.js';
import { FOREVER, type PrewarmPolicy } from './policy.js';

export const reactive = definePolicy({
  name: 'reactive',
  about: 'adds sandboxes to a function whose calls found none ready',
  options: {
    threshold: { kind: 'count', default: 2, about: 'misses that earn an increment' },
    increment: { kind: 'count', default: 1, about: 'sandboxes added' },
    max: { kind: 'count', default: 8, about: 'most sandboxes kept in this way' },
    window: { kind: 'duration', default: 300_000, about: 'how long a miss counts' },
    stems: STEMS,
  },
  create: ({ threshold, increment, max, window, stems }): PrewarmPolicy => ({
    name: 'reactive',
    warm({ misses }, nowMs) {
      const fromMs = nowMs - window;
      const earned = Math.floor(misses.since(fromMs) / Math.max(1, threshold)) * increment;
      if (earned === 0) return { sandboxes: 0, untilMs: FOREVER };
      // Strictly after the oldest miss stops counting.
      return { sandboxes: Math.min(max, earned), untilMs: misses.oldestSince(fromMs) + window + 1 };
    },
    stems: () => stems,
  }),
});
