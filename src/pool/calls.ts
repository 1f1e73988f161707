/**
 * One call from its acceptance to its end: what it asks for, where its answer goes, and when what happened to it. It knows
 * neither its function nor its instance; those know it.
 */

import type { Call, CallTimeline, StartKind } from '../model/call.js';
import type { Timer } from '../model/clock.js';
import type { ReplySink } from '../model/reply-sink.js';
import type { Sandbox } from '../sandbox/engine.js';

export interface PendingCall {
  request: Call;
  sink: ReplySink;
  acceptedMs: number;
  /** True once any part of the answer went out: such a call can not be sent again. */
  answered: boolean;
  /** It is in the queue of its function. */
  waits: boolean;
  /** The one that has it. */
  sandbox: Sandbox | undefined;
  /** When its caller left, or its caller's deadline passed; NaN while somebody waits. */
  leftMs: number;
  /** Of a call whose caller set a deadline. */
  expiry: Timer | undefined;
  /** How often it came back from a sandbox that ended before it began. */
  returns: number;
}

export interface ActiveCall extends PendingCall {
  dispatchedMs: number;
  /** Service that its function was charged for it in advance, ms. */
  chargedMs: number;
  /** When it got its turn in the sandbox; NaN while it waits there. */
  runningMs: number;
  /** What it may take from the moment at which its sandbox may begin it, as its function is told. */
  allowedMs: number;
  /** When it is ended; NaN until its sandbox may begin it. */
  deadlineMs: number;
  firstByteMs: number;
  /** When its answer ended; NaN until then, and of a call that failed. */
  endedMs: number;
  start: StartKind;
  firstInSandbox: boolean;
}

/** One object from its acceptance to its end: what is not known yet is NaN. */
export function acceptedCall(request: Call, sink: ReplySink, acceptedMs: number): ActiveCall {
  return {
    request,
    sink,
    acceptedMs,
    answered: false,
    waits: false,
    sandbox: undefined,
    leftMs: Number.NaN,
    expiry: undefined,
    returns: 0,
    dispatchedMs: Number.NaN,
    chargedMs: 0,
    runningMs: Number.NaN,
    allowedMs: 0,
    deadlineMs: Number.NaN,
    firstByteMs: Number.NaN,
    endedMs: Number.NaN,
    start: 'warm',
    firstInSandbox: false,
  };
}

export function timelineOf(
  call: ActiveCall,
  { core, id: sandboxId }: { core: number; id: string },
): CallTimeline {
  return {
    acceptedMs: call.acceptedMs,
    dispatchedMs: call.dispatchedMs,
    firstByteMs: call.firstByteMs,
    endedMs: call.endedMs,
    start: call.start,
    firstInSandbox: call.firstInSandbox,
    core,
    sandboxId,
  };
}
