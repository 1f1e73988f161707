/**
 * One-for-all prewarming: only stems, of each runtime in use, as many as calls asked for lately. A stem serves any
 * function of its runtime, so it costs the memory of a few sandboxes rather than of one a function.
 */

import { definePolicy } from '../policy-entry.js';
import { FOREVER, type PrewarmPolicy } from './policy.js';

export const template = definePolicy({
  name: 'template',
  about: 'keeps stems by runtime, as many as calls asked for lately',
  options: {
    min: { kind: 'count', default: 1, about: 'stems kept of a runtime that nobody asked for lately' },
    max: { kind: 'count', default: 8, about: 'most stems kept of one runtime' },
    window: { kind: 'duration', default: 10_000, about: 'what counts as lately' },
  },
  create: ({ min, max, window }): PrewarmPolicy => ({
    name: 'template',
    warm: () => ({ sandboxes: 0, untilMs: FOREVER }),
    stems: ({ asked }, nowMs) => Math.min(max, Math.max(min, asked.since(nowMs - window))),
  }),
});
