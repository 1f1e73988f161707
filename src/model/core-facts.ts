export interface CoreFacts {
  /** The kernel's CPU number. */
  id: number;
  online: boolean;
  packageId: number;
  /** Number of the physical core within the package. */
  coreId: number;
  /** Other CPUs of the same physical core. */
  siblings: number[];
  /** Other CPUs that share the last-level cache. */
  llcSharers: number[];
  /** Kept free of the scheduler's balancing by `isolcpus`. */
  isolated: boolean;
  /** Runs without a tick while only one task runs (`nohz_full`). */
  nohzFull: boolean;
}
