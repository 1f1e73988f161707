/** One NF as the loop sees it: CPU time of its threads and the latency of its packets. No allocation a tick. */

import { ThreadStat } from '../linux/procfs.js';
import { openLatencySource } from '../nf/latency/open.js';
import type { LatencySource } from '../nf/latency-source.js';
import { countAbove, RollingLatency } from '../packet/rolling-latency.js';
import { CONTROL } from '../tunables.js';
import type { ControlNf, NfStats } from './messages.js';

/** A thread and its counters when they were last taken. */
interface Watched {
  stat: ThreadStat;
  runNs: number;
  waitNs: number;
  slices: number;
}

export class NfWatch {
  readonly latency = new RollingLatency(CONTROL.latencyParts);
  private readonly source: LatencySource | undefined;
  private readonly packetThreads: Watched[] = [];
  /** Housekeeping threads of the NF: their time counts, but not to the millisecond. */
  private readonly otherThreads: Watched[] = [];
  private ticks = 0;
  /** Above the SLO in the current part of the latency window. */
  private aboveInPart = 0;
  private busyNs = 0;
  private busySinceNs = 0;

  /** Of the last tick. */
  runDeltaNs = 0;
  waitDeltaNs = 0;
  slicesDelta = 0;
  packets = 0;
  aboveSlo = 0;

  constructor(
    readonly nf: ControlNf,
    nowNs: number,
  ) {
    this.source = nf.source === undefined ? undefined : openLatencySource(nf.source);
    this.busySinceNs = nowNs;
    for (const tid of nf.tids) {
      const stat = new ThreadStat(nf.pid, tid);
      if (stat.read()) {
        const list = nf.packetTids.includes(tid) ? this.packetThreads : this.otherThreads;
        list.push({ stat, runNs: stat.runNs, waitNs: stat.waitNs, slices: stat.slices });
      }
    }
  }

  tick(): void {
    this.runDeltaNs = 0;
    this.waitDeltaNs = 0;
    this.slicesDelta = 0;
    this.take(this.packetThreads);
    if (++this.ticks % CONTROL.otherThreadsTicks === 0) {
      const { waitDeltaNs, slicesDelta } = this;
      this.take(this.otherThreads);
      // Only threads that carry packets tell by waiting that packets wait.
      this.waitDeltaNs = waitDeltaNs;
      this.slicesDelta = slicesDelta;
    }
    this.busyNs += this.runDeltaNs;
    this.packets = this.source === undefined ? 0 : this.source.sample(this.latency.current);
    this.aboveSlo = 0;
    if (this.packets > 0) {
      const above = countAbove(this.latency.current.counts, this.nf.sloUs * 1000);
      this.aboveSlo = above - this.aboveInPart;
      this.aboveInPart = above;
    }
  }

  private take(threads: readonly Watched[]): void {
    for (let i = 0; i < threads.length; i++) {
      const thread = threads[i]!;
      const stat = thread.stat;
      // A thread that is gone adds nothing; discovery tells us within a second.
      if (!stat.read()) continue;
      this.runDeltaNs += stat.runNs - thread.runNs;
      this.waitDeltaNs += stat.waitNs - thread.waitNs;
      this.slicesDelta += stat.slices - thread.slices;
      thread.runNs = stat.runNs;
      thread.waitNs = stat.waitNs;
      thread.slices = stat.slices;
    }
  }

  /** Ends a part of the latency window and says how the NF does. Called CONTROL.reportHz times a second. */
  report(nowNs: number): NfStats {
    this.latency.rotate();
    this.aboveInPart = 0;
    const sum = this.latency.sum;
    const total = sum.total();
    const us = (quantile: number) => (total === 0 ? null : sum.quantileNs(quantile, total) / 1000);
    const busyRatio = this.busyNs / Math.max(1, nowNs - this.busySinceNs);
    this.busyNs = 0;
    this.busySinceNs = nowNs;
    return {
      id: this.nf.id,
      packets: total,
      p50Us: us(0.5),
      p99Us: us(0.99),
      p999Us: us(0.999),
      busyRatio,
      sourceKind: this.source?.kind ?? 'none',
    };
  }

  close(): void {
    for (const thread of [...this.packetThreads, ...this.otherThreads]) thread.stat.close();
    this.source?.close();
  }
}
