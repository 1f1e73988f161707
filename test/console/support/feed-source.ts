/**
 * Frames as a real agent would send them, made from a seed: four cores, two NFs, three functions, and a conflict that
 * comes once a minute. The same seed gives the same frames; `tune` fixes what a test wants to be certain of.
 */

import type { SandboxState } from '../../../src/model/feed.js';
import {
  FEED_SCHEMA,
  type FeedCore,
  type FeedEvent,
  type FeedFrame,
  type FeedFunction,
  type FeedNf,
} from '../../../src/model/feed.js';

export const FRAME_MS = 100;
export const THROTTLE_NAMES = ['full harvest', 'fewer calls', 'quota', 'frozen', 'off the core'];
/** Second of the minute -> throttle level on core 2. */
const CONFLICT: Array<[fromS: number, level: number]> = [
  [0, 0],
  [34, 1],
  [34.4, 2],
  [35.2, 3],
  [38, 2],
  [41, 1],
  [45, 0],
];

export type Tune = (frame: FeedFrame) => void;

export class FeedSource {
  private seq = 0;
  private eventSeq = 0;
  private random: () => number;
  private readonly wander = new Map<string, number>();
  private totals = new Map<number, FeedCore['totals']>();
  private conflicts = 0;
  private level = 0;
  private calls = [0, 0, 0];
  private pending: FeedEvent[] = [];

  constructor(
    private readonly startMs: number,
    private readonly tune: Tune = () => {},
    seed = 1,
  ) {
    this.random = mulberry32(seed);
    this.event('agent-started', 'info', 'agent 0.1.0 started, policy nemo, 4 cores');
    this.event('nf-found', 'info', 'found firewall-1 (profile firewall, pid 4211)', {
      core: 2,
      nf: 'firewall-1',
    });
    this.event('nf-protected', 'info', 'firewall-1: packet threads set to FIFO 50', {
      core: 2,
      nf: 'firewall-1',
    });
    this.event('nf-found', 'info', 'found ovs-1 (profile ovs-vswitchd, pid 4307)', { core: 3, nf: 'ovs-1' });
    this.event('function-deployed', 'info', 'hello deployed, 1.2 KiB', { functionName: 'hello' });
    this.event('function-deployed', 'info', 'thumbnail deployed, 48 KiB', { functionName: 'thumbnail' });
    this.event('function-deployed', 'info', 'fraud-score deployed, 310 KiB', { functionName: 'fraud-score' });
    this.event('engine', 'info', 'stem s-03 took the code of thumbnail', {
      core: 3,
      functionName: 'thumbnail',
      sandboxId: 's-03',
    });
    this.event('function-failed', 'error', 'fraud-score threw: Cannot read properties of undefined', {
      functionName: 'fraud-score',
    });
  }

  next(): FeedFrame {
    this.seq++;
    const timeMs = this.startMs + this.seq * FRAME_MS;
    const atS = this.seq / 10;
    this.conflict(atS % 60);
    const frame: FeedFrame = {
      schema: FEED_SCHEMA,
      seq: this.seq,
      timeMs,
      agent: {
        version: '0.1.0',
        policy: 'nemo',
        hostname: 'edge-07',
        uptimeS: atS,
        loop: { hz: 1000, latenessP99Us: 38 + 9 * this.walk('late'), costRatio: 0.021 },
        slowReaders: 0,
        stems: 2,
        memory: { agentRssBytes: 91e6, sandboxesBytes: 312e6, hostAvailableBytes: 19.4e9 },
        warnings: ['No hardware performance counters: cache conflicts show only in packet latency.'],
      },
      cores: this.cores(atS),
      nfs: [],
      functions: this.functions(atS),
      events: [],
    };
    frame.nfs = nfs(frame.cores);
    frame.events = this.pending;
    this.pending = [];
    this.tune(frame);
    return frame;
  }

  event(
    kind: FeedEvent['kind'],
    severity: FeedEvent['severity'],
    message: string,
    more: Partial<FeedEvent> = {},
  ): void {
    const timeMs = this.startMs + this.seq * FRAME_MS + 7;
    this.pending.push({ seq: ++this.eventSeq, timeMs, kind, severity, message, ...more });
  }

  private conflict(secondOfMinute: number): void {
    const [, level] = CONFLICT.findLast(([fromS]) => secondOfMinute >= fromS)!;
    if (level === this.level) return;
    const down = level > this.level;
    if (down && this.level === 0) {
      this.conflicts++;
      this.event('conflict', 'warning', 'p99 of firewall-1 is 1.31 ms, above its SLO of 500 µs', {
        core: 2,
        nf: 'firewall-1',
        cause: 'slo',
      });
    }
    this.event(
      down ? 'throttle' : 'recover',
      down ? 'warning' : 'info',
      `core 2: ${THROTTLE_NAMES[this.level]} → ${THROTTLE_NAMES[level]}`,
      { core: 2, fromLevel: this.level, toLevel: level, ...(down ? { reactionUs: 640 } : {}) },
    );
    this.level = level;
  }

  private cores(atS: number): FeedCore[] {
    const throttled = this.level / 4;
    const wave = 0.5 + 0.5 * Math.sin(atS / 7);
    const nf2 = 0.16 + 0.14 * wave + 0.03 * this.walk('nf2') + 0.2 * throttled;
    const nf3 = 0.3 + 0.2 * Math.sin(atS / 11) ** 2 + 0.03 * this.walk('nf3');
    const p99 = 170 * 1.6 ** this.walk('p99') * (1 + 7 * throttled);
    return [
      this.core(0, 'housekeeping', 0, 0, 0.38 + 0.08 * this.walk('c0')),
      this.core(1, 'free', 0, 0, 0.04 + 0.02 * this.walk('c1')),
      this.core(2, 'nf', nf2, (0.95 - nf2) * (1 - throttled), 0.012, 18 + 3 * this.walk('p50'), p99, 500),
      this.core(
        3,
        'nf',
        nf3,
        0.28 + 0.05 * this.walk('f3'),
        0.015,
        9 + 1.5 * this.walk('q50'),
        62 * 1.4 ** this.walk('q99'),
        200,
      ),
    ];
  }

  private core(
    core: number,
    role: FeedCore['role'],
    nf: number,
    functions: number,
    other: number,
    p50Us: number | null = null,
    p99Us: number | null = null,
    sloUs: number | null = null,
  ): FeedCore {
    const level = core === 2 ? this.level : 0;
    const before = this.totals.get(core);
    const totals = {
      wallS: (before?.wallS ?? 0) + 0.1,
      nfS: (before?.nfS ?? 0) + nf / 10,
      functionS: (before?.functionS ?? 0) + functions / 10,
      spareS: (before?.spareS ?? 0) + (1 - nf - other) / 10,
      harvestedS: (before?.harvestedS ?? 0) + functions / 10,
      throttledS: (before?.throttledS ?? 0) + (level > 0 ? 0.1 : 0),
    };
    this.totals.set(core, totals);
    return {
      core,
      role,
      nfRatio: nf,
      functionRatio: functions,
      otherRatio: other,
      idleRatio: 1 - nf - functions - other,
      predictedSpareRatio: role === 'nf' ? 1 - nf - 0.03 : 0,
      p50Us,
      p99Us,
      sloUs,
      throttleLevel: level,
      throttleName: THROTTLE_NAMES[level]!,
      running: core === 2 ? [{ functionName: 'hello', sandboxId: 's-01' }] : [],
      totals: { ...totals },
      conflicts: core === 2 ? this.conflicts : 0,
    };
  }

  private functions(atS: number): FeedFunction[] {
    const rates = [1_240 * (1 - this.level / 5), 64, 11];
    this.calls = this.calls.map((done, i) => done + rates[i]! / 10);
    const fn = (
      i: number,
      name: string,
      p50Ms: number,
      starts: FeedFunction['starts'],
      failed: number,
      states: SandboxState[],
    ): FeedFunction => ({
      name,
      engine: 'process',
      queued: i === 0 ? this.level * 14 : 0,
      inFlight: states.filter((state) => state === 'busy').length,
      completed: Math.floor(this.calls[i]!),
      failed,
      starts,
      p50Ms,
      p99Ms: p50Ms * 4.1,
      ratePerS: rates[i]! * (1 + 0.02 * this.walk(name)),
      sandboxes: states.map((state, at) => ({
        id: `s-${i}${at + 1}`,
        state,
        core: 2 + (at % 2),
        pid: 5_000 + 100 * i + at,
        memoryBytes: (31 + 6 * i + at) * 1024 * 1024,
        cpuRatio: state === 'busy' ? 0.62 : 0,
        calls: Math.floor(this.calls[i]! / states.length),
      })),
    });
    const loading: SandboxState = atS % 4 < 2 ? 'loading' : 'warm';
    return [
      fn(0, 'hello', 0.31, { cold: 0, stem: 4, warm: 61_204 }, 0, ['busy', 'busy', 'warm', 'warm']),
      fn(1, 'thumbnail', 12.4, { cold: 1, stem: 3, warm: 2_931 }, 0, ['busy', 'warm', loading]),
      fn(2, 'fraud-score', 5.2, { cold: 0, stem: 2, warm: 512 }, 3, ['warm', 'starting']),
    ];
  }

  /** A slow random walk around 0, about -1 to 1. */
  private walk(name: string): number {
    const next = (this.wander.get(name) ?? 0) * 0.9 + (this.random() - 0.5) * 0.7;
    this.wander.set(name, next);
    return next;
  }
}

function nfs(cores: FeedCore[]): FeedNf[] {
  const nf = (core: FeedCore, part: Omit<FeedNf, 'cores' | keyof Measured>): FeedNf => ({
    ...part,
    cores: [core.core],
    p50Us: core.p50Us,
    p99Us: core.p99Us,
    p999Us: core.p99Us === null ? null : core.p99Us * 2.3,
    sloUs: core.sloUs ?? 0,
    sloHeld: core.p99Us === null ? null : core.p99Us <= core.sloUs!,
    busyRatio: core.nfRatio,
    spareRatio: 1 - core.nfRatio - core.otherRatio,
  });
  return [
    nf(cores[2]!, {
      id: 'firewall-1',
      profile: 'firewall',
      pid: 4211,
      state: 'running',
      mode: 'sleep',
      threads: [{ tid: 4212, name: 'nf-packet', core: 2, packet: true }],
      protection: 'fifo:50',
      latencySource: 'reported',
    }),
    nf(cores[3]!, {
      id: 'ovs-1',
      profile: 'ovs-vswitchd',
      pid: 4307,
      state: 'running',
      mode: 'poll',
      threads: [{ tid: 4309, name: 'pmd-c03/id:8', core: 3, packet: true }],
      protection: 'none',
      latencySource: 'tap',
    }),
  ];
}

type Measured = Pick<FeedNf, 'p50Us' | 'p99Us' | 'p999Us' | 'sloUs' | 'sloHeld' | 'busyRatio' | 'spareRatio'>;

/** A small seeded generator, 0 to 1. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
