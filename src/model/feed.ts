/**
 * The versioned JSON of the WebSocket feed (`/feed`, 10 Hz) and of `GET /v1/status`. The console, `nemo top`,
 * the demo and the bench all read this and nothing else.
 */

import type { StartKind } from './call.js';
import type { EventKind, Severity } from './platform-events.js';

export const FEED_SCHEMA = 'nemo.feed/1';

export interface FeedFrame {
  schema: typeof FEED_SCHEMA;
  /** Counts every frame made; a gap means that this reader was too slow and lost some. */
  seq: number;
  timeMs: number;
  agent: FeedAgent;
  cores: FeedCore[];
  nfs: FeedNf[];
  functions: FeedFunction[];
  /** Events since the previous frame (in the first frame: the last 100). */
  events: FeedEvent[];
}

export interface FeedAgent {
  version: string;
  policy: string;
  hostname: string;
  uptimeS: number;
  loop: { hz: number; latenessP99Us: number; costRatio: number };
  /** Throttles so far, and the time from the sign to the applied throttle. Absent before the first. */
  reactions?: { count: number; p50Us: number; p99Us: number; packet?: PacketReactions };
  /** Readers that lost frames, ever. */
  slowReaders: number;
  stems: number;
  /** Of those that have imported packages ahead, the names of what each has. */
  zygotes?: string[];
  memory: { agentRssBytes: number; sandboxesBytes: number; hostAvailableBytes: number };
  /** What this host cannot enforce or observe, in words. */
  warnings: string[];
}

/** Throttles of which the packet that broke the SLO is known: since the kernel received it, and since its SLO was up. */
export interface PacketReactions {
  count: number;
  p50Us: number;
  p99Us: number;
  overSloP50Us: number;
  overSloP99Us: number;
  /** Since it was let go, late: what the loop itself took, without what the NF took to know. */
  knownP50Us: number;
  knownP99Us: number;
  /** Who told when the packet was received. */
  sources: Array<'reported' | 'tap'>;
}

/** Ratios are of the core's wall time over the last frame interval; they sum to 1 with `otherRatio`. */
export interface FeedCore {
  core: number;
  /** `taken`: a function core without an NF, of which others leave nothing. */
  role: 'nf' | 'housekeeping' | 'free' | 'taken';
  nfRatio: number;
  functionRatio: number;
  idleRatio: number;
  otherRatio: number;
  predictedSpareRatio: number;
  /** The careful prediction: a spare share that will be there nine times in ten, and how often that came true. */
  prediction?: { predictor: string; horizonMs: number; spareRatioP10: number; coverage: number };
  /** The same for the next 1, 10, 100 and 1,000 ms, each by whichever predictor was right most lately. */
  predictions?: Array<NonNullable<FeedCore['prediction']>>;
  /** True while the SLO is not met even without functions: nothing is harvested then. */
  unmeetable?: boolean;
  /** True while late packets are not the functions' doing: they are as late without them, so nothing is throttled. */
  acquitted?: boolean;
  /** Who takes all of this function core, in words: no function runs there then. */
  takenBy?: string;
  /** Idle windows between packets lately. Absent before the loop has seen any. */
  idleWindows?: { p50Us: number; p90Us: number };
  /** Ticks with late packets that were the host's doing, not a function's. */
  hostStalls?: number;
  /** Packet latency of the NFs on the core over the last second; null without a source or packets. */
  p50Us: number | null;
  p99Us: number | null;
  sloUs: number | null;
  /** 0 full harvest ... n off the core. */
  throttleLevel: number;
  throttleName: string;
  running: Array<{ functionName: string; sandboxId: string }>;
  /** Since the agent started, seconds of this core. */
  totals: {
    wallS: number;
    nfS: number;
    functionS: number;
    spareS: number;
    harvestedS: number;
    throttledS: number;
  };
  conflicts: number;
  /** Of a core whose NF polls: what is lent each time, how often, and the share of the time lent lately. */
  gate?: { sliceUs: number; periodUs: number; lentRatio: number };
}

export interface FeedNf {
  id: string;
  profile: string;
  pid: number;
  state: 'running' | 'gone';
  mode: 'sleep' | 'poll';
  cores: number[];
  threads: Array<{ tid: number; name: string; core: number; packet: boolean }>;
  /** How its cores are harvested: it sleeps by itself, was asked to, is lent in slices; or not at all, and why. */
  harvest?: { how: 'sleep' | 'asked to sleep' | 'slices' | 'not'; why?: string };
  /** How its packet threads are protected now: for example `fifo:50`, `none`. */
  protection: string;
  latencySource: string;
  p50Us: number | null;
  p99Us: number | null;
  p999Us: number | null;
  sloUs: number;
  sloHeld: boolean | null;
  /** Why it is not held, as far as that is known; absent while it is. */
  sloNote?: string;
  /** Why nothing is known of its packets: its core is then harvested by how long its threads wait for it. */
  latencyFault?: string;
  /** What of its cgroups its operator should know: little weight, a CPU quota, a real-time budget. */
  groups?: string[];
  /** Share of one core that its threads used over the last second. */
  busyRatio: number;
  spareRatio: number;
  /** Drops and waits before the NF since it is watched; absent until the first look. */
  queues?: QueueStats;
  /**
   * What the NF tells of itself, where its profile says how to ask; null: not known. `busyRatio`: share of its packet
   * threads' cycles that had packets. `drops`: since the NF started.
   */
  telemetry?: {
    packetsPerS: number | null;
    dropsPerS: number | null;
    busyRatio: number | null;
    drops: number;
    /** Why nothing is known now. */
    fault?: string;
  };
}

export type SandboxState = 'starting' | 'stem' | 'loading' | 'warm' | 'busy' | 'ending';

export interface FeedSandbox {
  id: string;
  state: SandboxState;
  core: number;
  pid: number;
  memoryBytes: number;
  cpuRatio: number;
  calls: number;
  /** Names of the packages that it had imported before it got its function. */
  ahead?: string[];
}

export interface FeedFunction {
  /** `FunctionRef.key`. */
  name: string;
  engine: string;
  queued: number;
  inFlight: number;
  completed: number;
  failed: number;
  starts: Record<StartKind, number>;
  /** Latency of calls, gateway to last byte, over the last 10 seconds. */
  p50Ms: number | null;
  p99Ms: number | null;
  ratePerS: number;
  /** Conflicts for which it was to blame, since the agent started. Absent before the first. */
  blame?: OffenceRecord;
  sandboxes: FeedSandbox[];
}

/** A `PlatformEvent` in the log, flat, as readers of the feed get it. */
export interface FeedEvent {
  seq: number;
  timeMs: number;
  kind: EventKind;
  severity: Severity;
  message: string;
  core?: number;
  nf?: string;
  functionName?: string;
  sandboxId?: string;
  cause?: string;
  fromLevel?: number;
  toLevel?: number;
  /** From the sign of the conflict to the applied throttle, microseconds. */
  reactionUs?: number;
}

/** What was seen before the NF since it is watched. */
export interface QueueStats {
  /** Of its cores: packets dropped as the backlog was full, and times that packet work was cut short. */
  backlogDrops: number;
  squeezes: number;
  /** Of all interfaces in its network namespace. */
  interfaceDrops: number;
  /** At full sockets, or rings of NFs that tell. */
  socketDrops: number;
  /** Time in which something on this machine waited for memory. */
  memoryStallMs: number;
  /** The leading sign of now. */
  sign: string | null;
}

export interface OffenceRecord {
  /** Since the agent started. */
  times: number;
  penalty: number;
  /** The last one, in words. */
  cause: string;
}
