/**
 * Start-time fair queueing (Goyal et al., SIGCOMM '96) among functions whose calls wait: the one that has received the
 * least service goes first, so that a quiet function never waits behind a busy one's queue. Pure: state is the caller's.
 */

import { DISPATCH } from '../../tunables/index.js';

/** What a function has received. */
export interface ServiceShare {
  /** Service, ms, on the virtual clock that all functions share. */
  virtualMs: number;
  /** Mean length of its calls: what one is charged until its true length is known. */
  meanMs: number;
}

/** The virtual clock: what the function had received that was served last. */
export interface ServiceClock {
  virtualMs: number;
}

/** Who goes next; undefined: all of them have been passed over, or may not. Of equals, the first. */
export function nextToServe<F extends ServiceShare>(
  waiting: Iterable<F>,
  passedOver: ReadonlySet<F> | undefined,
  may?: (fn: F) => boolean,
): F | undefined {
  let next: F | undefined;
  for (const fn of waiting) {
    if (passedOver?.has(fn)) continue;
    if (next !== undefined && fn.virtualMs >= next.virtualMs) continue;
    if (may === undefined || may(fn)) next = fn;
  }
  return next;
}

/** A function that had nothing to do is called again: the time in which it asked for nothing is no credit. */
export function joins(fn: ServiceShare, clock: ServiceClock): void {
  fn.virtualMs = Math.max(fn.virtualMs, clock.virtualMs);
}

/** A call of it goes to a sandbox. Returns what it is charged for now, for `settles`. */
export function charges(fn: ServiceShare, clock: ServiceClock): number {
  clock.virtualMs = Math.max(clock.virtualMs, fn.virtualMs);
  fn.virtualMs += fn.meanMs;
  return fn.meanMs;
}

/** That call ended after so much service; not a number: it received none. */
export function settles(fn: ServiceShare, chargedMs: number, servedMs: number): void {
  fn.virtualMs -= chargedMs;
  if (Number.isNaN(servedMs)) return;
  fn.virtualMs += servedMs;
  fn.meanMs += DISPATCH.meanWeight * (servedMs - fn.meanMs);
}
