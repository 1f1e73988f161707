/** Messages between the main thread and the control thread. Plain data, distinguished by `kind`. */

import type { CgroupHandle } from '../linux/cgroup/driver.js';
import type { QueueStats } from '../model/feed.js';
import type { LatencySourceSpec } from '../nf/latency/open.js';
import type { LadderName } from '../policy/conflict/ladders.js';

/** An NF as the control thread needs it. */
export interface ControlNf {
  id: string;
  pid: number;
  /** Cores that it owns; empty: it is watched, but no core is harvested for it. */
  cores: number[];
  tids: number[];
  /** Those of `tids` that carry packets. */
  packetTids: number[];
  /** Priority that NEMO gave to them; undefined: their scheduling must not be changed. */
  fifoPriority?: number | undefined;
  /** Share of a second that its groups let its packet threads be real-time; undefined: as much as the kernel does. */
  realTimeRatio?: number | undefined;
  /** `cpu.stat` of those of its groups that have a CPU quota. */
  quotaStatPaths?: readonly string[];
  sloUs: number;
  harvest: boolean;
  /** It polls and does not sleep: its cores are harvested by their slice gates or not at all. */
  gate?: boolean;
  /** A kernel NF: the softirq time of its cores is its load, it has no threads. */
  softirq: boolean;
  /** What it reports about itself; see nf/telemetry/memory. */
  telemetry?: SharedArrayBuffer | undefined;
  /** It polls and does not sleep: only its telemetry shows how busy it is. */
  polls?: boolean;
  /** Inode numbers of its UDP and listening TCP sockets. */
  socketInodes?: readonly number[];
  /** Undefined: its packet latency is not known. */
  source: LatencySourceSpec | undefined;
}

export type ToControl =
  /** `barred`: cores on which no function may run, whatever their NFs allow. */
  | { kind: 'nfs'; nfs: ControlNf[]; barred: readonly number[] }
  | { kind: 'sandbox-add'; slot: number; core: number; handle: CgroupHandle }
  | { kind: 'sandbox-move'; slot: number; core: number }
  | { kind: 'sandbox-remove'; slot: number }
  | { kind: 'stop' };

export interface NfStats {
  id: string;
  packets: number;
  p50Us: number | null;
  p99Us: number | null;
  p999Us: number | null;
  busyRatio: number;
  sourceKind: string;
  /** Why nothing is known about its packets, as a message. */
  fault: string | null;
  /** How often a second its own CPU quota stopped it lately. */
  throttledPerS: number;
  queues: QueueStats;
}

/** How long a throttle took, where its packet is known: since the packet exceeded the SLO, and since the NF sent it on. */
export interface PacketReaction {
  overSloUs: number;
  knownUs: number;
}

export type FromControl =
  | { kind: 'ready'; tid: number; scheduling: string }
  | {
      kind: 'level';
      core: number;
      from: number;
      to: number;
      cause: string;
      /** From the look before the sign was seen (the earliest it can have come) to the applied throttle. */
      reactionUs: number;
      packet?: PacketReaction;
      /** Slots of the sandboxes that ran when packets were late and it was throttled. */
      ran?: readonly number[];
    }
  /** One function of several was frozen, not the core. */
  | {
      kind: 'culprit';
      core: number;
      slot: number;
      holdMs: number;
      cause: string;
      reactionUs: number;
      packet?: PacketReaction;
    }
  | { kind: 'nf-stats'; stats: NfStats[] }
  /** Others began to take all of a function core, or left it. */
  | { kind: 'taken'; core: number; taken: boolean; othersRatio: number }
  | { kind: 'warning'; message: string };

/** State of a sandbox slot, written by the main thread, read by the control thread. */
export const Slot = { free: 0, idle: 1, busy: 2 } as const;
/** Most sandboxes on one box. */
export const SLOT_COUNT = 4096;

export interface ControlThreadData {
  board: SharedArrayBuffer;
  slots: SharedArrayBuffer;
  /** Core that the thread runs on. */
  controlCore: number;
  /** Cores where functions may run. */
  functionCores: number[];
  conflict: boolean;
  ladder: LadderName;
  predict: boolean;
  shareRatio: number | null;
  runningPerCore: number;
}
