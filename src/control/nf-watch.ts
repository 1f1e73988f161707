/** One NF as the loop sees it: CPU time of its threads and the latency of its packets. No allocation a tick. */

import { CpuStat, ThreadStat, Tick } from '../linux/procfs.js';
import { openLatencySource } from '../nf/latency/open.js';
import type { Bell, LatencySource } from '../nf/latency-source.js';
import { TelemetryMemory } from '../nf/telemetry/memory.js';
import { countAbove, RollingLatency } from '../packet/rolling-latency.js';
import { type Breach, findBreach } from '../policy/conflict/breach.js';
import { CONFLICT, CONTROL, NF } from '../tunables/index.js';
import type { ControlNf, NfStats } from './messages.js';
import { QueueWatch } from './queue-watch.js';
import { QuotaWatch } from './quota-watch.js';
import { RtThrottleGuard } from './rt-throttle-guard.js';

/** A thread and its counters when they were last taken. */
interface Watched {
  stat: ThreadStat;
  runNs: number;
  waitNs: number;
  slices: number;
  /** Of a packet thread that NEMO made real-time. */
  turn?: RtThrottleGuard;
}

/** /proc/stat counts in USER_HZ, which is 100 everywhere. */
const NS_PER_TICK = 1e7;

export class NfWatch {
  readonly latency = new RollingLatency(CONTROL.latencyParts);
  private readonly source: LatencySource | undefined;
  private readonly packetThreads: Watched[] = [];
  /** Housekeeping threads of the NF: their time counts, but not to the millisecond. */
  private readonly otherThreads: Watched[] = [];
  private readonly queues: QueueWatch;
  private ticks = 0;
  /** Ticks since its packets were last counted. */
  private unread = 0;
  /** Above the SLO in the current part of the latency window. */
  private aboveInPart = 0;
  private readonly stat: CpuStat | undefined;
  private readonly telemetry: TelemetryMemory | undefined;
  private softirqNs = 0;
  private ticksToSoftirq = 0;
  private busyNs = 0;
  private busySinceNs = 0;
  private readonly quotas: QuotaWatch;
  /** Late packets that the present unanswered question was counted as. */
  private overdueCounted = 0;
  /** For how long its threads have been busy without a packet to show for it. */
  private silentNs = 0;
  private fault: string | undefined;
  /** Without a figure of its packets, the time that its threads wait for their core is used instead. */
  private blind: boolean;

  /** CPU time that it used so far, including empty polls. */
  totalRunNs = 0;
  /** Of the last tick. */
  runDeltaNs = 0;
  waitDeltaNs = 0;
  slicesDelta = 0;
  packets = 0;
  aboveSlo = 0;
  /** Set by its cores: a function ran on one of them in this tick. */
  functionsRan = false;

  constructor(
    readonly nf: ControlNf,
    nowNs: number,
  ) {
    this.source = nf.source === undefined ? undefined : openLatencySource(nf.source);
    this.telemetry = nf.telemetry === undefined ? undefined : TelemetryMemory.over(nf.telemetry);
    this.queues = new QueueWatch(nf);
    this.quotas = new QuotaWatch(nf.quotaStatPaths ?? []);
    this.fault = this.source?.fault;
    this.blind = this.source === undefined || this.fault !== undefined;
    this.busySinceNs = nowNs;
    if (nf.softirq && nf.cores.length > 0) {
      this.stat = new CpuStat(Math.max(...nf.cores) + 1);
      this.softirqNs = this.readSoftirqNs(this.stat);
    }
    for (const tid of nf.tids) {
      const stat = new ThreadStat(nf.pid, tid);
      if (stat.read()) {
        const packets = nf.packetTids.includes(tid);
        const thread: Watched = { stat, runNs: stat.runNs, waitNs: stat.waitNs, slices: stat.slices };
        if (packets && nf.fifoPriority !== undefined) {
          thread.turn = new RtThrottleGuard(tid, nf.fifoPriority, nf.realTimeRatio);
        }
        (packets ? this.packetThreads : this.otherThreads).push(thread);
      }
    }
  }

  /** Whether a new watch of `nf` would be the same as this one. */
  isOf(nf: ControlNf): boolean {
    return shapeOf(nf) === shapeOf(this.nf);
  }

  /** `calm`: nothing is lost if packets are counted a few ticks later; those that are late ring. */
  tick(calm: boolean, wallNs: number): void {
    this.runDeltaNs = 0;
    this.waitDeltaNs = 0;
    this.slicesDelta = 0;
    this.take(this.packetThreads, wallNs);
    this.totalRunNs += this.runDeltaNs;
    if (this.telemetry !== undefined && this.nf.polls === true) {
      const busyRatio = this.telemetry.busyRatio();
      // A polling thread always runs; this much of it was for packets.
      if (!Number.isNaN(busyRatio)) this.runDeltaNs *= busyRatio;
    }
    if (++this.ticks % CONTROL.otherThreadsTicks === 0) {
      const { waitDeltaNs, slicesDelta, runDeltaNs } = this;
      this.take(this.otherThreads, wallNs);
      this.totalRunNs += this.runDeltaNs - runDeltaNs;
      // Only where threads that carry packets wait, packets wait.
      this.waitDeltaNs = waitDeltaNs;
      this.slicesDelta = slicesDelta;
    }
    if (this.stat !== undefined && --this.ticksToSoftirq < 0) {
      this.ticksToSoftirq = NF.softirqTicks;
      const softirqNs = this.readSoftirqNs(this.stat);
      this.runDeltaNs += softirqNs - this.softirqNs;
      this.totalRunNs += softirqNs - this.softirqNs;
      this.softirqNs = softirqNs;
    }
    this.busyNs += this.runDeltaNs;
    if (calm && ++this.unread < CONTROL.calmReportTicks && this.bell() !== undefined) {
      this.packets = 0;
      this.aboveSlo = 0;
    } else this.samplePackets();
    if (this.blind) this.judgeByWaits();
    this.countOverdue();
    this.queues.tick(this.functionsRan, this.source?.missed ?? 0, this.telemetry?.drops() ?? Number.NaN);
    this.functionsRan = false;
  }

  /** Between two ticks: reads only packets, of an NF that may have rung. */
  sampleIfRung(): void {
    this.packets = 0;
    if (this.bell() !== undefined) this.samplePackets();
  }

  private samplePackets(): void {
    this.unread = 0;
    this.packets = this.source === undefined ? 0 : this.source.sample(this.latency.current);
    this.aboveSlo = 0;
    if (this.packets > 0) {
      const above = countAbove(this.latency.current.counts, this.nf.sloUs * 1000);
      this.aboveSlo = above - this.aboveInPart;
      this.aboveInPart = above;
    }
  }

  /** A thread that waits for its core for longer than a packet may take makes packets late. */
  private judgeByWaits(): void {
    const { slicesDelta, waitDeltaNs, nf } = this;
    if (slicesDelta <= 0 || nf.gate === true) return;
    this.packets += slicesDelta;
    if (waitDeltaNs > slicesDelta * nf.sloUs * 1000) this.aboveSlo += slicesDelta;
  }

  /** A probe without an answer counts as late too: as one packet for each answer that was due meanwhile. */
  private countOverdue(): void {
    const waitingNs = this.source?.waitingNs?.() ?? 0;
    const stepNs = Math.max(this.nf.sloUs * 1000, CONFLICT.overdueStepMs * 1e6);
    const overdue = Math.floor(waitingNs / stepNs);
    // The kernel counts a stop by a quota only at its end.
    if (overdue > this.overdueCounted && !this.quotas.any) {
      this.packets += overdue - this.overdueCounted;
      this.aboveSlo += overdue - this.overdueCounted;
    }
    this.overdueCounted = overdue;
  }

  /** Its own CPU quota stopped it just now: packets are late for that, whatever ran beside it. Asked each tick. */
  stoppedByQuota(nowMs: number): boolean {
    if (!this.quotas.any) return false;
    const isTrouble =
      this.aboveSlo > 0 || this.waitDeltaNs > this.nf.sloUs * 100 || this.queueSign !== undefined;
    return this.quotas.stopped(nowMs, isTrouble);
  }

  /** What changes as soon as a packet breaks the SLO; undefined where nothing does at once. */
  bell(): Bell | undefined {
    return this.nf.sloUs > 0 ? this.source?.bell?.(this.nf.sloUs * 1000) : undefined;
  }

  /** When the packet was received that broke the SLO after `sinceUnixNs`, and which source reported it. */
  breach(sinceUnixNs: number): (Breach & { source: 'reported' | 'tap' }) | undefined {
    const kind = this.source?.kind;
    if (this.aboveSlo === 0 || (kind !== 'reported' && kind !== 'tap')) return undefined;
    const arrivals = this.source?.arrivals?.();
    const breach = arrivals && findBreach(arrivals, this.nf.sloUs * 1000, sinceUnixNs);
    return breach && { ...breach, source: kind };
  }

  /** What is wrong in front of the NF now, as a message. */
  get queueSign(): string | undefined {
    return this.queues.sign;
  }

  private take(threads: readonly Watched[], wallNs: number): void {
    for (let i = 0; i < threads.length; i++) {
      const thread = threads[i]!;
      const stat = thread.stat;
      // A thread that is gone adds nothing; discovery notices it within a second.
      if (!stat.read()) continue;
      this.runDeltaNs += stat.runNs - thread.runNs;
      this.waitDeltaNs += stat.waitNs - thread.waitNs;
      this.slicesDelta += stat.slices - thread.slices;
      thread.turn?.tick(stat.runNs - thread.runNs, wallNs);
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
    const elapsedNs = nowNs - this.busySinceNs;
    const busyRatio = this.busyNs / Math.max(1, elapsedNs);
    this.notice(total, busyRatio, elapsedNs);
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
      fault: this.fault ?? null,
      throttledPerS: this.quotas.perS(nowNs / 1e6),
      queues: this.queues.stats(),
    };
  }

  /** A source may be broken, or silent while its NF works: either way nothing is known about its packets. */
  private notice(packets: number, busyRatio: number, elapsedNs: number): void {
    if (this.source === undefined) return;
    const silent = packets === 0 && busyRatio > NF.silentBusyRatio && this.nf.polls !== true;
    this.silentNs = silent ? this.silentNs + elapsedNs : 0;
    const isSilent = this.silentNs > NF.silentMs * 1e6;
    this.fault = this.source.fault ?? (isSilent ? 'its threads are busy, but no packet was seen' : undefined);
    this.blind = this.fault !== undefined;
  }

  /** Interrupts and the packet work after them, on all of the NF's cores. */
  private readSoftirqNs(stat: CpuStat): number {
    stat.read();
    let ticks = 0;
    for (let i = 0; i < this.nf.cores.length; i++) {
      const core = this.nf.cores[i]!;
      ticks += stat.get(core, Tick.softirq) + stat.get(core, Tick.irq);
    }
    return ticks * NS_PER_TICK;
  }

  close(): void {
    for (const thread of [...this.packetThreads, ...this.otherThreads]) thread.stat.close();
    this.stat?.close();
    this.source?.close();
    this.queues.close();
    this.quotas.close();
  }
}

/** The parts of an NF that need a new watch when they change. */
function shapeOf(nf: ControlNf): string {
  return [
    nf.tids,
    nf.cores,
    nf.sloUs,
    nf.harvest,
    nf.gate,
    nf.source?.kind,
    nf.telemetry !== undefined,
    nf.polls,
    nf.socketInodes,
    nf.quotaStatPaths,
    nf.realTimeRatio,
    nf.fifoPriority,
  ].join(';');
}
