/**
 * What becomes of those behind a function whose first call could not be moved forward. One that waits for a place keeps
 * the others from taking more than they have; one whose sandbox is only being made, or that keeps away from a core
 * because of a conflict there, does not. Pure.
 */

/** How an attempt to move a function's first call forward went. */
export type Placed = 'sent' | 'starting' | 'keeps away' | 'no place';

/** `again`: the same function may have another call for it; `next`: others go on without it; `stop`: all wait. */
export type Then = 'again' | 'next' | 'stop';

export function afterAttempt(placed: Placed): Then {
  if (placed === 'sent') return 'again';
  return placed === 'no place' ? 'stop' : 'next';
}

/** More sandboxes of one function than may run at once would only cost memory. `warm`: those that it has. */
export function mayStartOne(starting: number, queued: number, places: number, warm: number): boolean {
  return starting < Math.min(queued, Math.max(1, places - warm));
}
