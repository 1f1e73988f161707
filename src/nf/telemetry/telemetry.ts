/** Starts asking an NF for its own counters. An NF that does not answer is not an error: that stands in the measurement's `fault`. */

import type { ProcessId } from '../../linux/process-directory.js';
import type { TelemetrySpec } from '../../model/nf-profile.js';
import { openNf } from '../latency/nf-directory.js';
import { type Measurement, startWorker } from '../measurement.js';
import { type TelemetryFigure, TelemetryMemory } from './memory.js';
import type { TelemetryWorkerData } from './telemetry-worker.js';

export type Telemetry = Measurement<TelemetryFigure>;

/** NOT_FOUND if the NF is gone. */
export async function startTelemetry(
  nf: ProcessId & { uid: number },
  spec: TelemetrySpec,
): Promise<Telemetry> {
  const memory = TelemetryMemory.create();
  const directory = openNf(nf);
  const { pid, uid } = nf;
  const data: TelemetryWorkerData = { shared: memory.shared, pid, uid, directory, spec };
  return startWorker(new URL('./telemetry-worker.js', import.meta.url), data, memory, [directory]);
}
