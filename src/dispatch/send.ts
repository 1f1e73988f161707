/** Hands one call to a worker's sandbox and follows its answer to the sink. One object a call, nothing more. */

import type { Clock } from '../model/clock.js';
import type { NemoError } from '../model/errors.js';
import type { GiveBack } from '../model/function.js';
import { allowedMs } from '../policy/deadlines/call-deadline.js';
import type { ActiveCall, PendingCall, Worker } from '../pool/state.js';
import type { SandboxReply } from '../sandbox/engine.js';

/** Told how a call ended that was sent to `worker`. */
export interface SendOutcome {
  ended(worker: Worker, call: ActiveCall): void;
  failed(worker: Worker, call: ActiveCall, error: NemoError): void;
}

class Reply implements SandboxReply {
  constructor(
    private readonly worker: Worker,
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
    this.outcome.ended(this.worker, this.call);
  }

  onError(error: NemoError): void {
    this.outcome.failed(this.worker, this.call, error);
  }
}

/** `worker` has its turn already, if it gets one now. */
export function sendTo(
  worker: Worker,
  pending: PendingCall,
  chargedMs: number,
  outcome: SendOutcome,
  clock: Clock,
): void {
  const nowMs = clock.nowMs();
  const first = worker.served === 0;
  const call = pending as ActiveCall;
  call.worker = worker;
  call.dispatchedMs = nowMs;
  call.chargedMs = chargedMs;
  call.runningMs = Number.NaN;
  call.allowedMs = allowedMs(worker.spec!.timeoutMs, worker.turn && worker.room > 0);
  call.deadlineMs = Number.NaN;
  call.firstByteMs = nowMs;
  // A call that came when the code was there already waited for no start.
  call.start = first && pending.acceptedMs < worker.warmSinceMs ? worker.origin : 'warm';
  call.firstInSandbox = first;
  worker.served++;
  worker.calls.push(call);
  worker.beginCalls(nowMs);
  worker.lastUsedMs = nowMs;
  worker.sandbox!.invoke(pending.request, nowMs + call.allowedMs, new Reply(worker, call, outcome, clock));
}
