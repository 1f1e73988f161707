/**
 * How long packet threads waited for a core after they were ready: the part of packet latency that co-location adds.
 * The kernel tells sums only, so one observation is the mean wait of the slices since the last look. Each millisecond
 * in which a thread went on running counts as one without a wait, else the few slices of a polling thread, each of
 * which begins with a wait, would stand for all of its packets.
 */

import { ThreadStat } from '../../linux/procfs.js';
import type { LatencyBuckets } from '../../model/latency-buckets.js';
import type { LatencySource } from '../latency-source.js';

export class RunqueueSource implements LatencySource {
  readonly kind = 'runqueue';
  fault: string | undefined;
  private readonly threads: ThreadStat[];
  private readonly runNs: Float64Array;
  private readonly waitNs: Float64Array;
  private readonly slices: Float64Array;

  /** The packet threads of one process. Threads that end are left out; `fault` once none is left. */
  constructor(pid: number, tids: readonly number[]) {
    this.threads = tids.map((tid) => new ThreadStat(pid, tid));
    this.runNs = new Float64Array(tids.length);
    this.waitNs = new Float64Array(tids.length);
    this.slices = new Float64Array(tids.length);
    this.threads.forEach((thread, i) => {
      if (thread.read()) this.remember(thread, i);
    });
  }

  sample(into: LatencyBuckets): number {
    const { threads, runNs, waitNs, slices } = this;
    let observations = 0;
    let alive = 0;
    for (let i = 0; i < threads.length; i++) {
      const thread = threads[i]!;
      if (!thread.read()) continue;
      alive++;
      const newSlices = thread.slices - slices[i]!;
      const uninterruptedMs = Math.ceil((thread.runNs - runNs[i]!) / 1e6);
      if (newSlices > 0) {
        into.record((thread.waitNs - waitNs[i]!) / newSlices);
        observations++;
      } else if (uninterruptedMs > 0) {
        into.counts[0] = into.counts[0]! + uninterruptedMs;
        observations += uninterruptedMs;
      } else continue;
      this.remember(thread, i);
    }
    if (alive === 0) this.fault = 'none of its packet threads is left';
    return observations;
  }

  close(): void {
    for (const thread of this.threads) thread.close();
  }

  private remember(thread: ThreadStat, i: number): void {
    this.runNs[i] = thread.runNs;
    this.waitNs[i] = thread.waitNs;
    this.slices[i] = thread.slices;
  }
}
