/** What came of a trace under a set of policies. Every call is exactly one of cold, stem, restored, warm, rejected. */

export interface SimResult {
  policies: string;
  /** Null: as much as is wanted. */
  capacityBytes: number | null;
  calls: number;
  cold: number;
  stem: number;
  restored: number;
  warm: number;
  rejected: number;
  /** Calls that found no loaded sandbox, of those that were served. */
  missRatio: number;
  /** From a call's arrival to its start. */
  startLatencyMs: { mean: number; p50: number; p99: number };
  /** The integral of the memory of all sandboxes over the trace, and the part in which they served nothing. */
  memoryGiBs: number;
  idleMemoryGiBs: number;
  memoryMaxBytes: number;
  /** Sandboxes made ahead, ended because nobody used them, and ended to make room. */
  prewarmed: number;
  expired: number;
  evicted: number;
}
