/** How it is measured what sandboxes take: a file for each kind of sandbox, and a line in catalogue.ts. */

import type { Instance } from '../../pool/instance.js';

export interface PerfSample {
  memoryBytes: number;
  /** Share of one core since the last look. */
  cpuRatio: number;
}

export interface PerfCollector {
  /** Whether it can measure this one, whose sandbox is there. */
  fits(worker: Instance): boolean;
  /** Called once a period with all that fit. Those that have just ended are left out. Not called again before it is done. */
  collect(workers: readonly Instance[], nowMs: number): Promise<ReadonlyMap<string, PerfSample>>;
  close(): void;
}
