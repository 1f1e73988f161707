/** What a prewarm policy sees and may ask for. Pure: the pool carries decisions out, in idle windows. */

export interface PrewarmFunction {
  name: string;
  /** Loaded sandboxes that serve nothing now, that serve something, and that are being made. */
  warmIdle: number;
  busy: number;
  starting: number;
  queued: number;
  /** When it was last called or deployed, ms. */
  lastUsedMs: number;
  /** Not before this: its code failed to load lately. */
  notBeforeMs: number;
}

export interface PrewarmSnapshot {
  nowMs: number;
  /** Stems that are ready or being made, of each kind that is wanted. */
  stems: ReadonlyArray<{ key: string; count: number }>;
  /** False under memory pressure, or while every function core is throttled. */
  mayGrow: boolean;
  functions: readonly PrewarmFunction[];
}

export type PrewarmDecision = { kind: 'stem'; key: string } | { kind: 'warm'; functionName: string };

export interface PrewarmPolicy {
  readonly name: string;
  /**
   * Called when the pool changed and at least every 100 ms. Returns at most one decision: sandboxes are made one
   * after the other, so that making them never becomes a load of its own.
   */
  next(snapshot: PrewarmSnapshot): PrewarmDecision | undefined;
}
