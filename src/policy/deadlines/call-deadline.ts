/**
 * The deadline of a call: told to its function and enforced by the dispatcher, both from the moment at which its sandbox
 * may begin it. A call that was sent ahead of time has its whole time when those before it have ended. A caller may have a
 * deadline of its own, from when it asked: then it is answered and the call counts as left, whose sandbox nobody ends for it
 * at once. Pure.
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

/** What its function is told of a call that is sent now: nobody waits for longer than its caller. */
export function toldDeadlineMs(allowedMs: number, callerDeadlineMs: number, nowMs: number): number {
  return Math.min(nowMs + allowedMs, callerDeadlineMs);
}

/** Whether a call whose deadline is that has to end now; not a number: it has not begun. */
export function isOverdue(deadlineMs: number, nowMs: number): boolean {
  return nowMs >= deadlineMs;
}
