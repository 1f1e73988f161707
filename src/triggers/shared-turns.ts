/** Of boxes that share a store, one makes the call of each turn of a schedule. */

import type { Store } from '../store/store.js';
import { CRON } from '../tunables/index.js';

/** By function: the last turn that a box took, milliseconds since 1970. */
const TABLE = 'cron';

/** True for one of all that ask, whatever their clocks. Clocks that were set back by hours count anew, as in cron.ts. STORE. */
export async function claimRun(store: Store, functionKey: string, dueMs: number): Promise<boolean> {
  const last = await store.get<unknown>(TABLE, functionKey);
  if (typeof last === 'number' && last >= dueMs && last - dueMs <= CRON.setBackMs) return false;
  if (last === null) {
    // Nobody's turn stands there: a call too many is better than none.
    await store.put(TABLE, functionKey, dueMs);
    return true;
  }
  return store.compareAndSet<unknown>(TABLE, functionKey, last, dueMs);
}
