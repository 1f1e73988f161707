/** What boxes that share a store do one after the other. */

import { setTimeout as delay } from 'node:timers/promises';
import { NemoError } from '../model/errors.js';
import { LEASE } from '../tunables/index.js';
import type { Lease, Store } from './store.js';

/** `what`: the lease, and its name for people. Waits for others; STORE if they do not end, or the store fails. */
export async function exclusively<T>(store: Store, what: string, work: () => Promise<T>): Promise<T> {
  const lease = await take(store, what);
  // One that is lost is not won back: who writes compares before it sets.
  const renewing = setInterval(() => void lease.renew().catch(() => undefined), LEASE.forMs / 3).unref();
  try {
    return await work();
  } finally {
    clearInterval(renewing);
    // It runs out by itself.
    await lease.release().catch(() => undefined);
  }
}

async function take(store: Store, what: string): Promise<Lease> {
  const endMs = performance.now() + LEASE.waitMaxMs;
  while (performance.now() < endMs) {
    const lease = await store.lease(what, LEASE.forMs);
    if (lease !== undefined) return lease;
    await delay(LEASE.againMs);
  }
  throw new NemoError('STORE', `another box is changing ${what} and does not end`, { hint: 'try again' });
}
