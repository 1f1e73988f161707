/** An NF with traffic of any rate through it, whatever NF it is: what calibration and rounds need to know of it. */

import type { UserConfig } from '../../src/config/config-schema.js';
import type { FeedFrame } from '../../src/model/feed.js';
import type { Pattern } from '../scenarios.js';
import type { BenchRound } from '../types.js';

export interface SetupLoad {
  /** Mean packets or requests a second; null: the pace of the capture. */
  perS: number | null;
  pattern: Pattern;
}

export interface LoadReport {
  nf: BenchRound['nf'];
  /** Due but not sent: the generator's own limit. */
  notSentRatio: number;
  host_noise_p99_us: number | null;
  generator_lateness_p99_us: number | null;
}

export interface TestSetup {
  /** What the agent has to be told to find this NF. */
  readonly config: Partial<UserConfig>;
  /** How the NF was made dearer than by its defaults, so that its core can be filled; null: it was not. */
  readonly nfCost: string | null;
  /** Above this the generator, which shares its core with the agent, is not to be trusted. */
  readonly perSMax: number;
  /** The agent has found it. */
  found(frame: FeedFrame): boolean;
  /** Starts counting the NF's time on its core; the returned function says how much it was, nanoseconds. */
  cpuTime(): () => number;
  run(load: SetupLoad): Promise<void>;
  measure(seconds: number): Promise<LoadReport>;
  close(): Promise<void>;
}
