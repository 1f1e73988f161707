/** Nothing is made ahead of calls. */

import { definePolicy } from '../policy-entry.js';
import { FOREVER, type PrewarmPolicy } from './policy.js';

export const none = definePolicy({
  name: 'none',
  about: 'makes nothing ahead of calls',
  options: {},
  create: (): PrewarmPolicy => ({
    name: 'none',
    warm: () => ({ sandboxes: 0, untilMs: FOREVER }),
    stems: () => 0,
  }),
});
