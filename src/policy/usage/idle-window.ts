/**
 * When the next call of a function is likely, by the histogram of its idle times (Shahrad et al., ATC'20): a pair of
 * times after the end of its last call. The prewarm and the keep-alive policy `histogram` share it.
 */

import type { PolicyOption } from '../policy-entry.js';
import type { FunctionUsage } from './usage.js';

export interface IdleWindow {
  /** Before this no call is expected: its sandbox may go. 0: it stays. */
  opensMs: number;
  closesMs: number;
}

export const WINDOW_OPTIONS = {
  head: { kind: 'ratio', default: 0.05, about: 'quantile of idle times before which no call is expected' },
  tail: { kind: 'ratio', default: 0.99, about: 'quantile after which none is' },
  margin: { kind: 'ratio', default: 0.1, about: 'how much earlier and later, to be safe' },
  samples: { kind: 'count', default: 5, about: 'idle times that it takes to believe the histogram' },
  variation: {
    kind: 'ratio',
    default: 2,
    about: 'coefficient of variation of the bins below which the histogram says nothing',
  },
  bridge: { kind: 'duration', default: 1000, about: 'shorter gaps are bridged: the sandbox stays' },
} as const satisfies Record<string, PolicyOption>;

export type WindowOptions = Record<keyof typeof WINDOW_OPTIONS, number>;

/** Undefined: too little is known, or idle times follow no pattern. */
export function idleWindow(usage: FunctionUsage, options: WindowOptions): IdleWindow | undefined {
  const { idleTimes } = usage;
  if (idleTimes.count < options.samples || idleTimes.variation < options.variation) return undefined;
  const opensMs = idleTimes.lowerEdgeMs(options.head) * (1 - options.margin) - usage.startMs;
  return {
    opensMs: opensMs < options.bridge ? 0 : opensMs,
    closesMs: idleTimes.upperEdgeMs(options.tail) * (1 + options.margin),
  };
}
