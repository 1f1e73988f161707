/**
 * One-for-all prewarming: only stems, of each runtime in use, as many as calls asked for lately. A stem serves any
 * function of its runtime, so it costs the memory of a few sandboxes rather than of one a function. Some have imported
 * packages ahead, and serve the functions that import these.
 */

import { definePolicy } from '../policy-entry.js';
import { FOREVER, type PrewarmPolicy } from './policy.js';
import { growTree } from './preimport-tree.js';

export const template = definePolicy({
  name: 'template',
  about: 'keeps stems by runtime, as many as calls asked for lately, and some with packages of functions',
  options: {
    min: { kind: 'count', default: 1, about: 'stems kept of a runtime that nobody asked for lately' },
    max: { kind: 'count', default: 8, about: 'most stems kept of one runtime' },
    window: { kind: 'duration', default: 10_000, about: 'what counts as lately' },
    zygotes: { kind: 'count', default: 4, about: 'most stems that have imported packages of functions' },
    zygoteWindow: { kind: 'duration', default: 600_000, about: 'whose starts say which packages' },
    zygoteSaves: { kind: 'duration', default: 4, about: 'least loading time that packages have to save' },
  },
  create: ({ min, max, window, zygotes, zygoteWindow, zygoteSaves }): PrewarmPolicy => ({
    name: 'template',
    warm: () => ({ sandboxes: 0, untilMs: FOREVER }),
    stems: ({ asked }, nowMs) => Math.min(max, Math.max(min, asked.since(nowMs - window))),
    zygotes: (snapshot, nowMs) =>
      growTree(snapshot, nowMs, {
        ...{ most: zygotes, saveMs: zygoteSaves, windowMs: zygoteWindow, recentMs: window },
      }),
  }),
});
