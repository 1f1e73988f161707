/**
 * The limits by which a report is judged, each beside the words in which SPECIFICATION.md makes the promise: both come from
 * here, and a test compares.
 */

export interface Promised {
  limit: number;
  /** What the row of SPECIFICATION.md says. */
  row: string;
}

const promised = (limit: number, row: (limit: number) => string): Promised => ({ limit, row: row(limit) });

export const PROMISES = {
  /** NF p99, to that of the NF alone. */
  p99RatioMiddleLoad: promised(
    1.05,
    (limit) => `NF p99 with functions <= ${limit} x the NF alone at 30 to 70 % load`,
  ),
  p99RatioHighLoad: promised(1.1, (limit) => `NF p99 <= ${limit} x solo at 90 % load too`),
  harvestEfficiency: promised(
    0.95,
    (limit) =>
      `Harvest efficiency (harvested / spare) >= ${limit} under saturating functions at 30 to 70 % load`,
  ),
  addedLossPackets: promised(0, () => 'no packet lost that it does not lose alone'),
  /** Median start of naive, to that of NEMO. */
  startGain: promised(25, (limit) => `Starts >= ${limit} x shorter than naive's under the Azure trace`),
  reactionP50Ms: promised(
    0.5,
    (limit) => `From the packet that broke the SLO to the function off the core, p50 <= ${limit} ms,`,
  ),
  reactionP99Ms: promised(2, (limit) => `ms, p99 <= ${limit} ms |`),
} as const;
