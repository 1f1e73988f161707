/**
 * One-to-one prewarming of fixed size: every function keeps some warm sandboxes, over a small stock of stems for each
 * runtime in use.
 */

import { POOL } from '../../tunables/index.js';
import { definePolicy } from '../policy-entry.js';
import { STEMS } from './options.js';
import { FOREVER, type PrewarmPolicy } from './policy.js';

export const fixed = definePolicy({
  name: 'fixed',
  about: 'keeps some warm sandboxes of every function, and some stems',
  options: {
    stems: STEMS,
    warmPerFunction: {
      kind: 'count',
      default: POOL.warmPerFunction,
      about: 'sandboxes kept of each function',
    },
  },
  create: ({ stems, warmPerFunction }): PrewarmPolicy => ({
    name: 'fixed',
    warm: () => ({ sandboxes: warmPerFunction, untilMs: FOREVER }),
    stems: () => stems,
  }),
});
