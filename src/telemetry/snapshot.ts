/** Builds the feed's frames from what the parts know. Only reads; made when somebody asks, at most FEED.hz a second. */

import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { CpuStat, Tick } from '../linux/procfs.js';
import { type Board, Head } from '../model/board.js';
import {
  FEED_SCHEMA,
  type FeedCore,
  type FeedEvent,
  type FeedFrame,
  type FeedFunction,
  type FeedNf,
  type FeedSandbox,
  type OffenceRecord,
} from '../model/feed.js';
import type { FunctionState } from '../pool/function-state.js';
import type { Instance } from '../pool/instance.js';
import { isAhead } from '../pool/stem-source.js';
import { FEED } from '../tunables/index.js';
import { reactionsOf, stemsOf } from './feed-agent.js';
import { feedCore } from './feed-core.js';
import type { SandboxUsage } from './sandbox-usage.js';

export interface SnapshotSources {
  board: Board;
  policy: string;
  version: string;
  functionCores: readonly number[];
  housekeepingCores: readonly number[];
  functions: () => Iterable<FunctionState>;
  blameOf: (functionName: string, nowMs: number) => OffenceRecord | undefined;
  workers: () => Iterable<Instance>;
  stems: () => readonly Instance[];
  nfs: () => FeedNf[];
  /** Who takes all of a function core, in words. */
  takenBy: (core: number) => string | undefined;
  recentEvents: () => FeedEvent[];
  usage: SandboxUsage;
  slowReaders: () => number;
  warnings: () => string[];
}

/** Seconds over which rates and idle shares of cores are taken. */
const WINDOW_S = 1;

interface Mark {
  atMs: number;
  ticks: Float64Array;
  controlCpuNs: number;
  completed: Map<string, number>;
}

export class Snapshot {
  private readonly stat: CpuStat;
  private readonly marks: Mark[] = [];
  private last: FeedFrame | undefined;
  private lastAtMs = Number.NEGATIVE_INFINITY;
  private seq = 0;
  private readonly startedMs = performance.now();

  constructor(private readonly sources: SnapshotSources) {
    this.stat = new CpuStat(sources.board.cores);
  }

  frame(): FeedFrame {
    const nowMs = performance.now();
    // A little less than the period, so that a timer that fires early does not get yesterday's frame.
    if (this.last === undefined || nowMs - this.lastAtMs >= 1000 / FEED.hz - 10) {
      this.last = this.build(nowMs);
      this.lastAtMs = nowMs;
    }
    return this.last;
  }

  private build(nowMs: number): FeedFrame {
    const { sources } = this;
    const { board } = sources;
    this.stat.read();
    const completed = new Map<string, number>();
    for (const fn of sources.functions()) completed.set(fn.key, fn.completed);
    const mark: Mark = {
      atMs: nowMs,
      ticks: this.stat.ticks.slice(),
      controlCpuNs: board.head(Head.controlCpuNs),
      completed,
    };
    this.marks.push(mark);
    while (this.marks.length > 2 && nowMs - this.marks[1]!.atMs >= WINDOW_S * 1000) this.marks.shift();
    const before = this.marks[0]!;
    sources.usage.sample(sources.workers());

    const byFunction = new Map<string, FeedSandbox[]>();
    let sandboxesBytes = 0;
    for (const worker of sources.workers()) {
      const shown = this.sandbox(worker);
      sandboxesBytes += shown.memoryBytes;
      const list = byFunction.get(worker.functionKey) ?? [];
      list.push(shown);
      byFunction.set(worker.functionKey, list);
    }
    const functions = [...sources.functions()].map((fn) =>
      this.fn(fn, byFunction.get(fn.key) ?? [], before, nowMs),
    );
    const wallS = Math.max(0.001, (nowMs - before.atMs) / 1000);
    return {
      schema: FEED_SCHEMA,
      seq: ++this.seq,
      timeMs: Date.now(),
      agent: {
        version: sources.version,
        policy: sources.policy,
        hostname: hostname(),
        uptimeS: (nowMs - this.startedMs) / 1000,
        loop: {
          hz: board.head(Head.hz),
          latenessP99Us: board.head(Head.latenessP99Us),
          costRatio: Math.max(0, (mark.controlCpuNs - before.controlCpuNs) / 1e9 / wallS),
        },
        ...reactionsOf(board),
        slowReaders: sources.slowReaders(),
        ...stemsOf(sources.stems()),
        memory: {
          agentRssBytes: process.memoryUsage.rss(),
          sandboxesBytes,
          hostAvailableBytes: availableBytes(),
        },
        warnings: sources.warnings(),
      },
      cores: this.cores(before, mark),
      nfs: sources.nfs(),
      functions,
      events: sources.recentEvents(),
    };
  }

  private cores(before: Mark, now: Mark): FeedCore[] {
    const { board, functionCores, housekeepingCores } = this.sources;
    const shown = [...new Set([...functionCores, ...housekeepingCores])].sort((a, b) => a - b);
    const running = new Map<number, FeedCore['running']>();
    for (const worker of this.sources.workers()) {
      if (worker.idle) continue;
      const list = running.get(worker.core) ?? [];
      list.push({ functionName: worker.functionKey, sandboxId: worker.id });
      running.set(worker.core, list);
    }
    return shown.map((core) => {
      const harvested = functionCores.includes(core);
      return feedCore(core, {
        ...{ board, harvested, idleShare: idleShare(core, before, now) },
        ...{ takenBy: this.sources.takenBy(core), running: running.get(core) ?? [] },
      });
    });
  }

  private fn(fn: FunctionState, sandboxes: FeedSandbox[], before: Mark, nowMs: number): FeedFunction {
    const { sum, current } = fn.latency;
    const merged = sum.total() > 0 ? sum : current;
    const total = merged.total();
    const ms = (quantile: number): number | null =>
      total === 0 ? null : merged.quantileNs(quantile, total) / 1e6;
    const wallS = Math.max(0.001, (nowMs - before.atMs) / 1000);
    const blame = this.sources.blameOf(fn.key, nowMs);
    return {
      name: fn.key,
      engine: fn.spec.engine,
      queued: fn.queued,
      inFlight: fn.instances.reduce((count, worker) => count + worker.calls.length, 0),
      completed: fn.completed,
      failed: fn.failed,
      starts: { ...fn.starts },
      p50Ms: ms(0.5),
      p99Ms: ms(0.99),
      ratePerS: Math.max(0, (fn.completed - (before.completed.get(fn.key) ?? 0)) / wallS),
      ...(blame === undefined ? {} : { blame }),
      sandboxes,
    };
  }

  private sandbox(worker: Instance): FeedSandbox {
    const usage = this.sources.usage.of(worker.id);
    return {
      id: worker.id,
      state: worker.state === 'warm' && !worker.idle ? 'busy' : worker.state,
      core: worker.core,
      pid: worker.sandbox?.pid ?? 0,
      memoryBytes: usage.memoryBytes,
      cpuRatio: usage.cpuRatio,
      calls: worker.served,
      ...(isAhead(worker.stemKind) ? { ahead: [...worker.stemKind.ahead] } : {}),
    };
  }
}

function idleShare(core: number, before: Mark, now: Mark): number {
  const fields = Tick.steal + 1;
  let total = 0;
  let idle = 0;
  for (let field = 0; field < fields; field++) {
    const ticks = now.ticks[core * fields + field]! - before.ticks[core * fields + field]!;
    total += ticks;
    if (field === Tick.idle || field === Tick.iowait) idle += ticks;
  }
  return total <= 0 ? 1 : idle / total;
}

function availableBytes(): number {
  return Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024;
}
