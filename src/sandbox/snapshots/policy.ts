/** What a snapshot policy sees and decides: where each snapshot is kept, and which have to go. Pure. */

export interface SnapshotFacts {
  readonly key: string;
  /** What it takes, in memory or on disk. */
  readonly bytes: number;
  /** What a start from it saves against a start without it. */
  readonly savedMs: number;
  /** Starts from it lately; old ones count less. */
  readonly accesses: number;
  /** Many functions start from it: it stays, and in memory, where no machine can write to it. */
  readonly shared: boolean;
}

export interface SnapshotBudgets {
  readonly memoryMaxBytes: number;
  readonly diskMaxBytes: number;
}

export interface Placement {
  /** Keys of those to hold in memory. All that are not evicted are on disk. */
  readonly memory: ReadonlySet<string>;
  readonly evict: ReadonlySet<string>;
}

export interface SnapshotPolicy {
  readonly name: string;
  /** Called when a snapshot was made or removed, and now and then as accesses change. */
  place(snapshots: readonly SnapshotFacts[], budgets: SnapshotBudgets): Placement;
}
