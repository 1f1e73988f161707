/**
 * Keep-alive by the histogram of idle times (Shahrad et al., ATC'20). A sandbox stays until the time by which nearly
 * all calls came. If no call is expected soon it goes at once where the prewarm policy has it back in time.
 */

import { POOL } from '../../tunables/index.js';
import { definePolicy } from '../policy-entry.js';
import { idleWindow, WINDOW_OPTIONS } from '../usage/idle-window.js';
import type { KeepAlivePolicy } from './policy.js';

export const histogramKeepAlive = definePolicy({
  name: 'histogram',
  about: "keeps for as long as a function's idle times tell",
  options: {
    ...WINDOW_OPTIONS,
    fallback: {
      kind: 'duration',
      default: POOL.keepAliveMs,
      about: 'how long a sandbox of a function without a pattern stays',
    },
    release: {
      kind: 'count',
      default: 0,
      about: '1: end it until the next call is near; only with a prewarm policy that makes it again',
    },
  },
  create: (options): KeepAlivePolicy => ({
    name: 'histogram',
    expiresMs({ usage, lastUsedMs }, nowMs) {
      const window = idleWindow(usage, options);
      // Also what was made for a call that another sandbox took.
      if (window === undefined || Number.isNaN(usage.lastEndMs)) return lastUsedMs + options.fallback;
      const early = options.release > 0 && nowMs < usage.lastEndMs + window.opensMs;
      return early ? lastUsedMs : usage.lastEndMs + window.closesMs;
    },
    priority: ({ lastUsedMs }) => lastUsedMs,
  }),
});
