/** The agent's own start and end. */

export const AGENT = {
  /**
   * Of node, for `nemo up` (the first line of cli/main.ts says the same). What starting allocates lets V8's space for young objects
   * grow to two halves of 16 MB, which it never gives back to the kernel at rest.
   */
  nodeFlags: ['--max-semi-space-size=4'],
  /** Longest wait for running calls when the agent is asked to stop. */
  drainMs: 5_000,
  /** Longest wait for the end of one part. The slowest, engines with machines and containers, take some seconds. */
  partEndMaxMs: 15_000,
  /** What still holds the process this long after its end is left. */
  exitGraceMs: 1_000,
} as const;
