/** What an error of a sandbox means for the call that gets it, and for the sandbox. Pure. */

import { NemoError } from '../model/errors.js';
import { isOverdue } from '../policy/deadlines/call-deadline.js';
import type { ActiveCall } from '../pool/calls.js';
import type { Instance } from '../pool/instance.js';

/** The sandbox did not begin the call, whatever became of it. */
export function neverBegan({ details }: NemoError): boolean {
  return details?.started === false;
}

/** It was in the sandbox, and certainly did not begin. */
export function waitedInVain(error: NemoError, call: ActiveCall, { state, running }: Instance): boolean {
  // A standby call may have begun in a pause of the running one: only its sandbox knows.
  return neverBegan(error) || (state === 'ending' && running && Number.isNaN(call.runningMs));
}

/**
 * A function that threw, and a call that could not be sent, leave their sandbox as it was. INTERNAL: what the sandbox
 * sent could not be handled. One that drains ends with the calls that it still runs.
 */
export function endsSandbox(error: NemoError): boolean {
  if (error.details?.drains === true) return false;
  return (error.blame === 'function' && error.code !== 'FUNCTION_ERROR') || error.code === 'INTERNAL';
}

/** Only the call that ran too long is told that it did; others that shared its sandbox are told why theirs ended. */
export function blameOf(error: NemoError, call: ActiveCall, instance: Instance, nowMs: number): NemoError {
  if (error.code !== 'FUNCTION_TIMEOUT' || isOverdue(call.deadlineMs, nowMs)) return error;
  const name = instance.functionKey;
  return new NemoError(
    'FUNCTION_EXIT',
    `a sandbox of "${name}" was ended because another call in it ran too long`,
    {
      hint: 'try again; with --concurrency 1 calls do not share a sandbox',
    },
  );
}
