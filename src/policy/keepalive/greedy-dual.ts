/**
 * Greedy-Dual-Size-Frequency keep-alive (Fuerst and Sharma, FaasCache, ASPLOS'21): memory is a cache of sandboxes, and
 * what ends first is what is called seldom, starts fast and is large. The clock makes what was once popular age.
 */

import { definePolicy } from '../policy-entry.js';
import type { KeepAlivePolicy } from './policy.js';

const MIB = 2 ** 20;

export const greedyDual = definePolicy({
  name: 'greedy-dual',
  about: 'when memory is short ends the lowest clock + frequency x start cost / size (FaasCache)',
  options: {},
  create: (): KeepAlivePolicy => ({
    name: 'greedy-dual',
    expiresMs: () => Number.POSITIVE_INFINITY,
    priority: ({ clockAtUse, usage, memoryBytes }) =>
      clockAtUse + (usage.frequency * usage.startMs) / Math.max(1, memoryBytes / MIB),
  }),
});
