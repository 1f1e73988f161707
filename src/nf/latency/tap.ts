/**
 * Packet latency of an NF that does not report its own: packets are recognised on its ingress and egress interfaces.
 * Two halves: `startTap` runs the worker and belongs to the main thread (a real-time thread would hand its priority
 * down); `TapSource` reads what it found, in any thread. The kernel shows no packet that its sender takes past the queueing
 * discipline (PACKET_QDISC_BYPASS): such an NF cannot be tapped at its egress, all of its packets count as lost.
 */

import { monotonicNs } from '../../linux/clock.js';
import { type WordAddress, wordAddress } from '../../linux/futex.js';
import type { ProcessId } from '../../linux/process-directory.js';
import { BUCKET_COUNT, type LatencyBuckets } from '../../model/latency-buckets.js';
import { BellWord, bellLimit } from '../../packet/doorbell.js';
import type { Bell, LatencySource } from '../latency-source.js';
import { type Measurement, startWorker } from '../measurement.js';
import { openNf } from './nf-directory.js';
import type { Invariant } from './tap-filter.js';
import { TapMemory, type TapStatistics } from './tap-memory.js';
import type { TapWorkerData } from './tap-worker.js';

export interface TapOptions {
  /** An interface that is not there (yet) is waited for and stands in `fault`, instead of a rejection. */
  patient?: boolean;
  /** A process of the NF: the tap listens in its network namespace. */
  nf: ProcessId;
  ingress: string;
  egress: string;
  invariant: Invariant;
}

export type Tap = Measurement<keyof TapStatistics>;

/**
 * Resolves when both interfaces are listened to. An interface that is removed later is waited for, and one that was made
 * again is listened to again; `fault` says so meanwhile. Rejects with NOT_FOUND, NO_SUCH_INTERFACE, NOT_ROOT or SYSCALL.
 */
export async function startTap(options: TapOptions): Promise<Tap> {
  const memory = TapMemory.create();
  const { nf, ingress, egress, invariant, patient = false } = options;
  const directory = openNf(nf);
  const data: TapWorkerData = {
    shared: memory.shared,
    directory,
    ingress,
    egress,
    invariant,
    patient,
  };
  return startWorker(new URL('./tap-worker.js', import.meta.url), data, memory, [directory]);
}

/** Reads what the worker of a tap or of a probe found. */
export class TapSource implements LatencySource {
  fault: string | undefined;
  private readonly memory: TapMemory;
  private readonly before = new Uint32Array(BUCKET_COUNT);
  private readonly words: Int32Array;
  private readonly heard: { readonly address: WordAddress; value: number };
  private rings = 0;
  private version: number;

  constructor(
    shared: SharedArrayBuffer,
    readonly kind: 'tap' | 'probe' = 'tap',
  ) {
    this.memory = TapMemory.over(shared);
    this.words = this.memory.bell;
    this.heard = { address: wordAddress(this.words), value: 0 };
    this.version = this.memory.version();
    this.before.set(this.memory.buckets.counts);
    this.fault = this.memory.fault;
  }

  sample(into: LatencyBuckets): number {
    const version = this.memory.version();
    // Before the buckets: a packet that is counted in between rings once more, for nothing.
    this.rings = Atomics.load(this.words, BellWord.rings);
    if (version === this.version) return 0;
    this.version = version;
    this.fault = this.memory.fault;
    return into.addDifference(this.memory.buckets.counts, this.before);
  }

  bell(limitNs: number): Bell | undefined {
    const { words, heard } = this;
    if (this.rings === 0) return undefined;
    words[BellWord.limitNs] = bellLimit(limitNs);
    heard.value = this.rings;
    return heard;
  }

  waitingNs(): number {
    const asked = this.memory.asked[0]!;
    return asked === 0 ? 0 : Math.max(0, monotonicNs() - asked);
  }

  arrivals(): Float64Array | undefined {
    return this.memory.arrivals;
  }

  /** Does not end the tap, which belongs to whoever started it. */
  close(): void {
    this.words[BellWord.limitNs] = 0;
    this.fault = 'closed';
  }
}
