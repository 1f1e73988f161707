/** Policy `static`: a core split in time. The first part of each period is the functions', the rest the NF's alone. Pure. */

import { HARVEST } from '../../tunables/index.js';

/** Whether functions may run now; always, with a share of null. */
export function isFunctionsShare(nowMs: number, shareRatio: number | null): boolean {
  return shareRatio === null || nowMs % HARVEST.sharePeriodMs < shareRatio * HARVEST.sharePeriodMs;
}
