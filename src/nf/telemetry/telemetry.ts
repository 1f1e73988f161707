/** Starts asking an NF for its own counters. An NF that does not answer is no error: that stands in the measurement's `fault`. */

import { type Measurement, startWorker } from '../measurement.js';
import type { TelemetrySpec } from '../profile.js';
import { type TelemetryFigure, TelemetryMemory } from './memory.js';
import type { TelemetryWorkerData } from './telemetry-worker.js';

export type Telemetry = Measurement<TelemetryFigure>;

export function startTelemetry(nf: { pid: number; uid: number }, spec: TelemetrySpec): Promise<Telemetry> {
  const memory = TelemetryMemory.create();
  const data: TelemetryWorkerData = { shared: memory.shared, pid: nf.pid, uid: nf.uid, spec };
  return startWorker(new URL('./telemetry-worker.js', import.meta.url), data, memory);
}
