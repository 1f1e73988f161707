/** A sandbox as the loop sees it. */

import type { Suspect } from '../conflict/culprit.js';
import type { CgroupThrottle } from '../linux/cgroup/throttle.js';
import type { CounterRates } from './rates.js';

export interface WatchedSandbox extends Suspect {
  slot: number;
  throttle: CgroupThrottle;
  counters: CounterRates;
  cpuNs: number;
  wasBusy: boolean;
  /** It has no call and computes all the same: it is judged, and held back, as one that has. */
  restless: boolean;
  /** CPU time that it used without a call since the last look at that. */
  idleNs: number;
}
