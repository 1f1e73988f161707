/**
 * The thread that asks one NF for its counters: an answer that never comes holds up this thread and nobody else. What
 * fails is left alone for longer and longer. The NF is a descriptor here, so that whoever gets its pid is never asked.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { monotonicNs } from '../../linux/clock.js';
import { byDescriptor } from '../../linux/process-directory.js';
import { asNemoError } from '../../model/errors.js';
import type { TelemetrySpec } from '../../model/nf-profile.js';
import { TELEMETRY } from '../../tunables/index.js';
import type { TelemetryAdapter, TelemetryCounters } from './adapter.js';
import { DpdkTelemetry } from './dpdk.js';
import { TelemetryMemory } from './memory.js';
import { OvsTelemetry } from './ovs.js';
import { ratesOf } from './rates.js';

export interface TelemetryWorkerData {
  shared: SharedArrayBuffer;
  pid: number;
  /** The NF's user. */
  uid: number;
  /** Of the NF below /proc. */
  directory: number;
  spec: TelemetrySpec;
}

const { shared, pid, uid, directory, spec } = workerData as TelemetryWorkerData;
const memory = TelemetryMemory.over(shared);

function adapterFor({ kind, socket }: TelemetrySpec): TelemetryAdapter {
  switch (kind) {
    case 'dpdk':
      return new DpdkTelemetry(pid, uid, socket, byDescriptor(directory));
    case 'ovs':
      return new OvsTelemetry(pid, uid, socket, byDescriptor(directory));
  }
}

const adapter = adapterFor(spec);
let before: TelemetryCounters | undefined;
let beforeNs = 0;
let backoffMs: number = TELEMETRY.periodMs;
let pauseMs = 0;
parentPort!.postMessage('ready');
while (!memory.pause(pauseMs)) {
  try {
    const now = adapter.read();
    const nowNs = monotonicNs();
    const rates = before === undefined ? undefined : ratesOf(before, now, (nowNs - beforeNs) / 1e9);
    before = now;
    beforeNs = nowNs;
    if (rates !== undefined) {
      memory.publish({ ...rates, packets: now.packets, drops: now.drops });
      memory.mend();
      backoffMs = TELEMETRY.periodMs;
    }
    pauseMs = TELEMETRY.periodMs;
  } catch (thrown) {
    before = undefined;
    adapter.close();
    memory.fail(asNemoError(thrown).message);
    pauseMs = backoffMs;
    backoffMs = Math.min(backoffMs * 2, TELEMETRY.backoffMaxMs);
  }
}
adapter.close();
