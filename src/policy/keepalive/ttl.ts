/** A sandbox ends when it was unused for a fixed time; under pressure the least recently used goes first. */

import { POOL } from '../../tunables/index.js';
import { definePolicy } from '../policy-entry.js';
import type { KeepAlivePolicy } from './policy.js';

export const ttl = definePolicy({
  name: 'ttl',
  about: 'ends what was unused for a fixed time',
  options: {
    keepAlive: { kind: 'duration', default: POOL.keepAliveMs, about: 'how long an unused sandbox stays' },
  },
  create: ({ keepAlive }): KeepAlivePolicy => ({
    name: 'ttl',
    expiresMs: (idle) => idle.lastUsedMs + keepAlive,
    priority: (idle) => idle.lastUsedMs,
  }),
});
