/**
 * How long packet threads waited for a core after they were ready: the part of packet latency that co-location adds.
 * The kernel tells sums only, so one observation is the mean wait of the slices since the last look. A thread that polls
 * has few slices and hardly waits: this source sees little of a poll-mode NF.
 */

import { ThreadStat } from '../../linux/procfs.js';
import type { LatencyBuckets } from '../../packet/latency-buckets.js';
import type { LatencySource } from '../latency-source.js';

export class RunqueueSource implements LatencySource {
  readonly kind = 'runqueue';
  fault: string | undefined;
  private readonly threads: ThreadStat[];
  private readonly waitNs: Float64Array;
  private readonly slices: Float64Array;

  /** The packet threads of one process. Threads that end are left out; `fault` once none is left. */
  constructor(pid: number, tids: readonly number[]) {
    this.threads = tids.map((tid) => new ThreadStat(pid, tid));
    this.waitNs = new Float64Array(tids.length);
    this.slices = new Float64Array(tids.length);
    this.threads.forEach((thread, i) => {
      if (thread.read()) this.remember(thread, i);
    });
  }

  sample(into: LatencyBuckets): number {
    const { threads, waitNs, slices } = this;
    let observations = 0;
    let alive = 0;
    for (let i = 0; i < threads.length; i++) {
      const thread = threads[i]!;
      if (!thread.read()) continue;
      alive++;
      const newSlices = thread.slices - slices[i]!;
      if (newSlices <= 0) continue;
      into.record((thread.waitNs - waitNs[i]!) / newSlices);
      observations++;
      this.remember(thread, i);
    }
    if (alive === 0) this.fault = 'none of its packet threads is left';
    return observations;
  }

  close(): void {
    for (const thread of this.threads) thread.close();
  }

  private remember(thread: ThreadStat, i: number): void {
    this.waitNs[i] = thread.waitNs;
    this.slices[i] = thread.slices;
  }
}
