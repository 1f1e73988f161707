/**
 * The deadline of a call: told to its function and enforced by the dispatcher, both from the moment at which its sandbox
 * may begin it. A call that was sent ahead of time has its whole time when those before it have ended. Pure.
 */

import { HARVEST } from '../../tunables/index.js';

/**
 * How long a call may take from its begin, given its function's limit. One that is staged, or may be when those before it
 * have ended, has next to nothing of its core until its turn comes, which on a core that is not throttled is within a
 * quantum (see `stagingCore`): so much more it gets.
 */
export function allowedMs(timeoutMs: number, runsAtOnce: boolean): number {
  return runsAtOnce ? timeoutMs : timeoutMs + HARVEST.quantumMs;
}

/** Whether a call whose deadline is that has to end now; not a number: it has not begun. */
export function isOverdue(deadlineMs: number, nowMs: number): boolean {
  return nowMs >= deadlineMs;
}
