/** What the conflict policy sees of one function core. Plain data: the loop keeps one a core and fills it anew each tick. */

import type { Suspect } from './attribution.js';

/** One NF of the core, since the last look. */
export interface NfSample {
  readonly id: string;
  /** 0: it has none, and is not judged. */
  readonly sloUs: number;
  /** Packets observed, and how many of them were above the SLO. */
  packets: number;
  aboveSlo: number;
  /** Time that its packet threads waited for the core, and how often they were put on it. */
  waitNs: number;
  slices: number;
  /** What waits or is dropped before the NF now, in words. */
  queueSign: string | undefined;
  /** By its own CPU quota, just now: its packets are late for that. */
  stoppedByQuota: boolean;
}

export interface CoreSnapshot {
  /** Ticks of the loop that this look stands for; 0: it is between two ticks, as an NF rang, and only `packets` are new. */
  ticks: number;
  /** How late the loop itself woke. */
  lateNs: number;
  nfs: readonly NfSample[];
  functions: readonly Suspect[];
  /** A function had CPU time on the core. */
  functionsRan: boolean;
  /** Box policy `static`: this was the NF's part of the period. */
  outOfShare: boolean;
  /** A gate lends the core, so NF threads wait for it on purpose. */
  lent: boolean;
  /** Shares of the core that its NFs and others (who are neither NFs nor functions) took lately. */
  nfRatio: number;
  othersRatio: number;
}
