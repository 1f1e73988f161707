/**
 * One-to-one prewarming of fixed size (survey of serverless, prewarming): every function keeps some idle warm
 * sandboxes, most recently used first, over a small stock of stems for each
 * engine in use.
 */

import type { PrewarmFunction, PrewarmPolicy } from './policy.js';

export function fixedPrewarm(options: { stems: number; warmPerFunction: number }): PrewarmPolicy {
  return {
    name: 'fixed',
    next(snapshot) {
      if (!snapshot.mayGrow) return undefined;
      let chosen: PrewarmFunction | undefined;
      for (const candidate of snapshot.functions) {
        if (candidate.warmIdle + candidate.busy + candidate.starting >= options.warmPerFunction) continue;
        if (snapshot.nowMs < candidate.notBeforeMs) continue;
        if (chosen === undefined || candidate.lastUsedMs > chosen.lastUsedMs) chosen = candidate;
      }
      if (chosen !== undefined) return { kind: 'warm', functionName: chosen.name };
      const short = snapshot.stems.find(({ count }) => count < options.stems);
      return short === undefined ? undefined : { kind: 'stem', key: short.key };
    },
  };
}
