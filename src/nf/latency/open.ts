/** From a description that crosses threads to a source in the control thread. */

import type { LatencySource } from '../latency-source.js';
import { ReportedSource } from './reported.js';
import { RunqueueSource } from './runqueue.js';
import { TapSource } from './tap.js';

/** Structured-clonable. For a tap or a probe, the main thread has started it and passes its memory. */
export type LatencySourceSpec =
  | { kind: 'reported'; pid: number /** The NF's user; default root. */; uid?: number }
  | { kind: 'runqueue'; pid: number; tids: readonly number[] }
  | { kind: 'tap' | 'probe'; shared: SharedArrayBuffer };

/** Never throws for an NF that is gone or reports nothing: that stands in the source's `fault`. */
export function openLatencySource(spec: LatencySourceSpec): LatencySource {
  switch (spec.kind) {
    case 'reported':
      return new ReportedSource(spec.pid, spec.uid);
    case 'runqueue':
      return new RunqueueSource(spec.pid, spec.tids);
    case 'tap':
    case 'probe':
      return new TapSource(spec.shared, spec.kind);
  }
}
