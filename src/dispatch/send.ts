/** Hands one call to an instance's sandbox and follows its answer to the sink. One object a call, nothing more. */

import type { Clock } from '../model/clock.js';
import type { NemoError } from '../model/errors.js';
import type { GiveBack } from '../model/reply-sink.js';
import { allowedMs, toldDeadlineMs } from '../policy/deadlines/call-deadline.js';
import type { ActiveCall, PendingCall } from '../pool/calls.js';
import type { FunctionState } from '../pool/function-state.js';
import type { Instance } from '../pool/instance.js';
import type { SandboxReply } from '../sandbox/engine.js';

/** Told how a call ended that was sent to `instance`. */
export interface SendOutcome {
  ended(fn: FunctionState, instance: Instance, call: ActiveCall): void;
  failed(fn: FunctionState, instance: Instance, call: ActiveCall, error: NemoError): void;
}

class Reply implements SandboxReply {
  constructor(
    private readonly fn: FunctionState,
    private readonly instance: Instance,
    private readonly call: ActiveCall,
    private readonly outcome: SendOutcome,
    private readonly clock: Clock,
  ) {}

  onHead(status: number, headers: Record<string, string>): void {
    const call = this.call;
    call.answered = true;
    call.firstByteMs = this.clock.nowMs();
    call.sink.onHead(status, headers, call.start);
  }

  onChunk(chunk: Buffer, sent?: GiveBack): void {
    this.call.sink.onChunk(chunk, sent);
  }

  get gone(): boolean {
    return this.call.sink.gone === true;
  }

  get backlogBytes(): number {
    return this.call.sink.backlogBytes ?? 0;
  }

  readonly whenDrained = (resume: () => void): void => {
    const { sink } = this.call;
    if (sink.whenDrained === undefined) resume();
    else sink.whenDrained(resume);
  };

  onEnd(): void {
    this.outcome.ended(this.fn, this.instance, this.call);
  }

  onError(error: NemoError): void {
    this.outcome.failed(this.fn, this.instance, this.call, error);
  }
}

/** `instance` has its turn already, if it gets one now. */
export function sendTo(
  fn: FunctionState,
  instance: Instance,
  pending: PendingCall,
  chargedMs: number,
  outcome: SendOutcome,
  clock: Clock,
): void {
  const nowMs = clock.nowMs();
  const first = instance.served === 0;
  const call = pending as ActiveCall;
  call.sandbox = instance.sandbox;
  call.dispatchedMs = nowMs;
  call.chargedMs = chargedMs;
  call.runningMs = Number.NaN;
  call.allowedMs = allowedMs(instance.spec!.timeoutMs, instance.running && instance.room > 0);
  call.deadlineMs = Number.NaN;
  call.firstByteMs = nowMs;
  // A call that came when the code was there already waited for no start.
  call.start = first && pending.acceptedMs < instance.warmSinceMs ? instance.origin : 'warm';
  call.firstInSandbox = first;
  instance.served++;
  instance.calls.push(call);
  instance.beginCalls(nowMs);
  instance.lastUsedMs = nowMs;
  instance.sandbox!.invoke(
    pending.request,
    toldDeadlineMs(call.allowedMs, pending.request.deadlineMs, nowMs),
    new Reply(fn, instance, call, outcome, clock),
  );
}
