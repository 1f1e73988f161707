/**
 * Prewarming by the histogram of idle times (Shahrad et al., ATC'20): a sandbox is ready when the next call is near,
 * from the time before which hardly any came to the time by which nearly all did.
 */

import { definePolicy } from '../policy-entry.js';
import { idleWindow, WINDOW_OPTIONS } from '../usage/idle-window.js';
import { STEMS } from './options.js';
import { FOREVER, type PrewarmPolicy } from './policy.js';

export const histogram = definePolicy({
  name: 'histogram',
  about: "makes a sandbox ready when a function's idle times say that a call is near",
  options: { ...WINDOW_OPTIONS, stems: STEMS },
  create: (options): PrewarmPolicy => ({
    name: 'histogram',
    makesAgain: true,
    warm(usage, nowMs) {
      const window = idleWindow(usage, options);
      // Without a gap to bridge there is nothing to make: keep-alive holds what was used.
      if (window === undefined || window.opensMs === 0) return { sandboxes: 0, untilMs: FOREVER };
      const fromMs = usage.lastEndMs + window.opensMs;
      const toMs = usage.lastEndMs + window.closesMs;
      if (nowMs < fromMs) return { sandboxes: 0, untilMs: fromMs };
      return nowMs < toMs ? { sandboxes: 1, untilMs: toMs } : { sandboxes: 0, untilMs: FOREVER };
    },
    stems: () => options.stems,
  }),
});
