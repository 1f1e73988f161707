/** What a snapshot policy sees and decides: where each snapshot is kept, and which have to go. Pure. */

export interface SnapshotFacts {
  readonly key: string;
  /** What it takes, in memory or on disk. */
  readonly bytes: number;
  /** What it may take while it is made, where that is more: the disk has to have it, others do not go for it. */
  readonly mostBytes?: number;
  /** What a start from it saves against a start without it. */
  readonly savedMs: number;
  /** Starts from it lately; old ones count less. */
  readonly accesses: number;
  /** A start from it is under way, or it is being made: it stays where it is, whatever the budget. */
  readonly needed: boolean;
  /** Index of the directory that it is in; undefined: it is not there yet. */
  readonly directory: number | undefined;
}

export interface DirectoryFacts {
  /** Most that all snapshots in it may take. */
  readonly budgetBytes: number;
  /** What else the file system can take, less a reserve; below 0 where the reserve is touched. */
  readonly freeBytes: number;
  /** As measured; 0: not known. */
  readonly readBytesPerS: number;
}

/** Every snapshot is in one directory, from where starts map it; memory holds sealed copies of some. */
export interface SnapshotStores {
  /** In the order of the configuration. */
  readonly directories: readonly DirectoryFacts[];
  readonly memory: { readonly budgetBytes: number; readonly readBytesPerS: number };
}

/** Carried out in this order. */
export interface Placement {
  readonly evict: ReadonlySet<string>;
  /** Index of the directory for each that has none yet or is to change, in the order in which they move. */
  readonly moves: ReadonlyMap<string, number>;
  /** Keys of those of which memory holds a copy. */
  readonly memory: ReadonlySet<string>;
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
    stores: SnapshotStores,
  ): boolean;
  /**
   * Called before a snapshot is made, with that one among `snapshots` (needed, without a directory): evicted means that
   * there is no room for it. Called after each start from one, and when the stores have been measured.
   */
  place(snapshots: readonly SnapshotFacts[], stores: SnapshotStores): Placement;
}
