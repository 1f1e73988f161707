/** Hands one call to a worker's sandbox and follows its answer to the sink. One closure a call, nothing more. */

import type { NemoError } from '../errors.js';
import type { SandboxReply } from '../sandbox/engine.js';
import type { GiveBack } from '../streams/lent-bytes.js';
import type { ActiveCall, PendingCall, Worker } from './worker.js';

export interface SendOutcome {
  ended(call: ActiveCall): void;
  failed(call: ActiveCall, error: NemoError): void;
}

class Reply implements SandboxReply {
  constructor(
    private readonly call: ActiveCall,
    private readonly outcome: SendOutcome,
  ) {}

  onHead(status: number, headers: Record<string, string>): void {
    const call = this.call;
    call.answered = true;
    call.firstByteMs = performance.now();
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
    this.outcome.ended(this.call);
  }

  onError(error: NemoError): void {
    this.outcome.failed(this.call, error);
  }
}

export function sendTo(worker: Worker, pending: PendingCall, chargedMs: number, outcome: SendOutcome): void {
  const nowMs = performance.now();
  const first = worker.served === 0;
  const call = pending as ActiveCall;
  call.worker = worker;
  call.dispatchedMs = nowMs;
  call.chargedMs = chargedMs;
  call.runningMs = Number.NaN;
  call.firstByteMs = nowMs;
  // A call that came when the code was there already waited for no start.
  call.start = first && pending.acceptedMs < worker.warmSinceMs ? worker.origin : 'warm';
  call.firstInSandbox = first;
  worker.served++;
  worker.calls.push(call);
  if (worker.turn) worker.startTurns(nowMs);
  worker.lastUsedMs = nowMs;
  const deadlineMs = nowMs + (worker.spec?.timeoutMs ?? 0);
  worker.sandbox!.invoke(pending.request, deadlineMs, new Reply(call, outcome));
}
