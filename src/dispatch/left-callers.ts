/**
 * A caller that leaves ends its call. One that waits leaves its queue at once; one that runs is told to its function,
 * which may stop by itself (`context.signal`). A sandbox that goes on for nobody is ended after a grace: otherwise
 * whoever asks and leaves would fill cores with calls until their timeouts. A caller whose deadline passes is answered, and
 * then counts as one that left: it may end nothing that others share.
 */

import { NemoError } from '../model/errors.js';
import type { GiveBack, ReplySink } from '../model/reply-sink.js';
import { isOverdue } from '../policy/deadlines/call-deadline.js';
import type { ActiveCall, PendingCall } from '../pool/calls.js';
import type { Instance } from '../pool/instance.js';
import { DISPATCH } from '../tunables/index.js';

export function callerLeft(): NemoError {
  return new NemoError('CALLER_LEFT', 'the caller has left');
}

export function deadlineExceeded(functionName: string): NemoError {
  return new NemoError(
    'DEADLINE_EXCEEDED',
    `"${functionName}" did not answer within the time that its caller gave it`,
    { hint: 'give it more time, or call it less often' },
  );
}

/** Whoever called gave up: nothing of the function failed. */
export function isGivenUp({ code }: NemoError): boolean {
  return code === 'CALLER_LEFT' || code === 'DEADLINE_EXCEEDED';
}

/** In place of the sink of a call whose caller was told that its deadline has passed. */
export class GivenUp implements ReplySink {
  readonly gone = true;
  constructor(
    readonly failure: NemoError,
    private readonly told: ReplySink,
  ) {}
  onHead(): void {}
  onChunk(_chunk: Buffer, sent?: GiveBack): void {
    sent?.();
  }
  onEnd(): void {
    this.told.over?.();
  }
  onError(): void {
    this.told.over?.();
  }
}

/** The call runs, or is in a sandbox that will run it. Its end is told as that of any other. */
export function signalLeft(call: PendingCall, nowMs: number): void {
  call.leftMs = nowMs;
  call.sandbox?.callersLeft?.();
}

/** Why an instance has to end now, for what its calls do; undefined: it may go on. */
export function overdue(instance: Instance, nowMs: number): NemoError | undefined {
  const { timeoutMs, ref, concurrency } = instance.spec!;
  let abandoned = 0;
  let running = 0;
  for (const call of instance.calls) {
    if (isOverdue(call.deadlineMs, nowMs)) return tooLong(ref.key, timeoutMs);
    if (running >= concurrency || Number.isNaN(call.runningMs)) continue;
    running++;
    if (isOver(call, nowMs)) abandoned++;
  }
  return running > 0 && abandoned === running ? callerLeft() : undefined;
}

/** When it has to be looked at whether an instance may go on; `afterMs`: that was done then. */
export function nextCheckMs(instance: Instance, afterMs = Number.NEGATIVE_INFINITY): number {
  let lookMs = instance.deadlineMs;
  for (const { leftMs } of instance.calls) {
    const graceOverMs = leftMs + DISPATCH.leftGraceMs;
    if (graceOverMs > afterMs && graceOverMs < lookMs) lookMs = graceOverMs;
  }
  return lookMs;
}

function isOver(call: ActiveCall, nowMs: number): boolean {
  return nowMs - call.leftMs >= DISPATCH.leftGraceMs;
}

function tooLong(name: string, timeoutMs: number): NemoError {
  return new NemoError('FUNCTION_TIMEOUT', `function "${name}" did not answer within ${timeoutMs} ms`, {
    hint: 'raise its limit with --timeout, or make it do less',
  });
}
