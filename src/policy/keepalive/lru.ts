/** Memory is a cache: nothing ends before it is full, then the least recently used. */

import { definePolicy } from '../policy-entry.js';
import type { KeepAlivePolicy } from './policy.js';

export const lru = definePolicy({
  name: 'lru',
  about: 'ends nothing until memory is short, then the least recently used',
  options: {},
  create: (): KeepAlivePolicy => ({
    name: 'lru',
    expiresMs: () => Number.POSITIVE_INFINITY,
    priority: (idle) => idle.lastUsedMs,
  }),
});
