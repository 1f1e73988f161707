/**
 * What the agent holds because a sandbox has not read it yet. It is bounded by the calls that are open, unless the sandbox
 * answers calls without reading them: then each leaves its body behind, and the agent's memory would grow without end.
 */

import { BODY_MAX_BYTES, META_MAX_BYTES } from '../runner/frames.js';

export const ANSWERED_UNREAD = 'it answered calls that it had not read';

/** More waits than what the sandbox loads and `openCalls` can be. */
export function leavesUnread(waitingBytes: number, openCalls: number): boolean {
  return waitingBytes > (openCalls + 1) * (META_MAX_BYTES + BODY_MAX_BYTES);
}
