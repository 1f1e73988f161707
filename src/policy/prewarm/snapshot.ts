/**
 * Snapshots first: nothing is kept warm. A call is served from a snapshot of its function where the engine has one; for
 * the first call of a function, and on engines without snapshots, there are stems.
 */

import { definePolicy } from '../policy-entry.js';
import { STEMS } from './options.js';
import { FOREVER, type PrewarmPolicy } from './policy.js';

export const snapshot = definePolicy({
  name: 'snapshot',
  about: 'restores snapshots where the engine has them, and keeps some stems for where it has none',
  options: { stems: STEMS },
  create: ({ stems }): PrewarmPolicy => ({
    name: 'snapshot',
    restoreFirst: true,
    warm: () => ({ sandboxes: 0, untilMs: FOREVER }),
    stems: () => stems,
  }),
});
