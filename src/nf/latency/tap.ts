/**
 * Packet latency of an NF that does not report its own: packets are recognised on its ingress and egress interfaces.
 * Two halves: `startTap` runs the worker and belongs to the main thread (a real-time thread would hand its priority
 * down); `TapSource` reads what it found, in any thread. The kernel shows no packet that its sender takes past the queueing
 * discipline (PACKET_QDISC_BYPASS): such an NF cannot be tapped at its egress, all of its packets count as lost.
 */

import { Worker } from 'node:worker_threads';
import { type ErrorCode, NemoError } from '../../errors.js';
import { BUCKET_COUNT, type LatencyBuckets } from '../../packet/latency-buckets.js';
import type { LatencySource } from '../latency-source.js';
import type { Invariant } from './tap-filter.js';
import { TapMemory, type TapStatistics } from './tap-memory.js';
import type { TapWorkerData } from './tap-worker.js';

export interface TapOptions {
  /** A process of the NF: the tap listens in its network namespace. */
  pid: number;
  ingress: string;
  egress: string;
  invariant: Invariant;
}

export interface Tap {
  /** For `TapSource`, in any thread. */
  readonly shared: SharedArrayBuffer;
  statistics(): TapStatistics;
  /** Resolves when the worker is gone and its sockets are closed. */
  close(): Promise<void>;
}

/** Resolves when both interfaces are listened to. Rejects with NOT_FOUND, NO_SUCH_INTERFACE, NOT_ROOT or SYSCALL. */
export async function startTap(options: TapOptions): Promise<Tap> {
  const memory = TapMemory.create();
  const { pid, ingress, egress, invariant } = options;
  const data: TapWorkerData = {
    shared: memory.shared,
    namespacePath: `/proc/${pid}/ns/net`,
    ingress,
    egress,
    invariant,
  };
  const worker = new Worker(new URL('./tap-worker.js', import.meta.url), { workerData: data });
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.on('error', (cause) => memory.fail(cause.message));
  worker.once('exit', () => {
    if (memory.fault === undefined) memory.fail('the tap was stopped');
  });
  await new Promise<void>((resolve, reject) => {
    worker.once('message', (message: 'ready' | ReturnType<NemoError['toJSON']>) => {
      if (message === 'ready') resolve();
      else reject(toError(message.error));
    });
    worker.once('error', (cause) => reject(new NemoError('INTERNAL', 'the tap could not start', { cause })));
  });
  worker.unref();
  return {
    shared: memory.shared,
    statistics: () => memory.statistics(),
    close: () => {
      worker.ref();
      memory.stop();
      return exited;
    },
  };
}

function toError(error: { code: ErrorCode; message: string; hint?: string }): NemoError {
  return new NemoError(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint });
}

export class TapSource implements LatencySource {
  readonly kind = 'tap';
  fault: string | undefined;
  private readonly memory: TapMemory;
  private readonly before = new Uint32Array(BUCKET_COUNT);
  private version: number;

  constructor(shared: SharedArrayBuffer) {
    this.memory = TapMemory.over(shared);
    this.version = this.memory.version();
    this.before.set(this.memory.buckets.counts);
    this.fault = this.memory.fault;
  }

  sample(into: LatencyBuckets): number {
    const version = this.memory.version();
    if (version === this.version) return 0;
    this.version = version;
    this.fault = this.memory.fault;
    return into.addDifference(this.memory.buckets.counts, this.before);
  }

  /** Only forgets; the tap itself belongs to whoever started it. */
  close(): void {
    this.fault = 'closed';
  }
}
