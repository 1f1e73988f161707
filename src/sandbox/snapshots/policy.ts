/** What a snapshot policy sees and decides: where each snapshot is kept, and which have to go. Pure. */

export interface SnapshotFacts {
  readonly key: string;
  /** What it takes, in memory or on disk. */
  readonly bytes: number;
  /** What a start from it saves against a start without it. */
  readonly savedMs: number;
  /** Starts from it lately; old ones count less. */
  readonly accesses: number;
  /** A start from it is under way, or it is being made: it stays on disk, whatever the budget. */
  readonly needed: boolean;
}

export interface SnapshotBudgets {
  readonly memoryMaxBytes: number;
  readonly diskMaxBytes: number;
}

export interface Placement {
  /** Keys of those to hold in memory. All that are not evicted are on disk, from where starts map them. */
  readonly memory: ReadonlySet<string>;
  readonly evict: ReadonlySet<string>;
}

export interface SnapshotPolicy {
  readonly name: string;
  /**
   * Called after a function was loaded into a stem: whether to make a snapshot of it as it is then. Of the candidate,
   * `accesses` are its loads lately, `savedMs` is what a load costs; `makingMs` is what making a snapshot costs.
   */
  make(
    candidate: SnapshotFacts,
    makingMs: number,
    snapshots: readonly SnapshotFacts[],
    budgets: SnapshotBudgets,
  ): boolean;
  /** Called before a snapshot is made, and after each start from one. */
  place(snapshots: readonly SnapshotFacts[], budgets: SnapshotBudgets): Placement;
}
