/** The agent's own start and end. */

export const AGENT = {
  /** Longest wait for running calls when the agent is asked to stop. */
  drainMs: 5_000,
  /** Longest wait for the end of one part. The slowest, engines with machines and containers, take some seconds. */
  partEndMaxMs: 15_000,
  /** What still holds the process this long after its end is left. */
  exitGraceMs: 1_000,
} as const;
