/** Why a call is not accepted, as the caller reads it. Admission itself is a policy (`policy/admission`). */

import type { Call } from '../model/call.js';
import { NemoError } from '../model/errors.js';
import { noSuchFunction } from '../model/function-ref.js';
import type { AdmissionPolicy, Refusal } from '../policy/admission/policy.js';
import type { FunctionState } from '../pool/function-state.js';
import type { Pool } from '../pool/pool.js';
import type { QueuedBytes } from '../pool/waiting-calls.js';
import { deadlineExceeded } from './left-callers.js';

/** Asks the admission policy, with one snapshot for all calls: this is on the path of each. */
export class Refusals {
  /** No call is accepted any more. */
  stopping = false;
  private readonly snapshot;
  /** Whose call it is. */
  private fn: FunctionState | undefined;

  constructor(
    private readonly admission: AdmissionPolicy,
    pool: Pool,
    private readonly allQueued: QueuedBytes,
  ) {
    this.snapshot = {
      ...{ queued: 0, queuedBytes: 0, allQueuedBytes: 0, meanMs: 0, sandboxes: 0 },
      lackingBytes: () => pool.lackingBytes(this.fn!.spec.memoryBytes, pool.stemKind(this.fn!.spec)),
      evictableBytes: () => pool.evictableBytes(),
    };
  }

  /** Undefined: the call may wait in the queue of `fn`. It is no more there if it was removed since its ref was looked up. */
  of(fn: FunctionState | undefined, call: Call, nowMs: number): NemoError | undefined {
    if (fn === undefined) return noSuchFunction(call.ref.key);
    if (this.stopping) return new NemoError('STOPPING', 'the agent is stopping');
    if (call.deadlineMs <= nowMs) return deadlineExceeded(fn.key);
    return this.overload(fn, call.body.length);
  }

  /** OVERLOADED or NO_CAPACITY, with `retryAfterS`. */
  private overload(fn: FunctionState, bodyBytes: number): NemoError | undefined {
    const { snapshot } = this;
    const allQueuedBytes = this.allQueued.bytes;
    this.fn = fn;
    snapshot.queued = fn.queued;
    snapshot.queuedBytes = fn.queuedBytes + bodyBytes;
    snapshot.allQueuedBytes = allQueuedBytes + bodyBytes;
    snapshot.meanMs = fn.meanMs;
    snapshot.sandboxes = fn.instances.length + fn.starting;
    const refusal = this.admission.refuse(snapshot);
    return refusal === undefined ? undefined : toError(fn, refusal, allQueuedBytes);
  }
}

function toError(fn: FunctionState, refusal: Refusal, allQueuedBytes: number): NemoError {
  const { key } = fn;
  const { retryAfterS } = refusal;
  const details = { retryAfterS };
  if (refusal.why === 'queue full') {
    const message = `${fn.queued} calls of "${key}" with ${fn.queuedBytes} bytes already wait`;
    return new NemoError('OVERLOADED', message, { hint: 'try again later, or call less often', details });
  }
  if (refusal.why === 'queues full') {
    const message = `calls of all functions with ${allQueuedBytes} bytes already wait`;
    return new NemoError('OVERLOADED', message, { hint: 'try again later, or send less', details });
  }
  const hint = `try again in ${retryAfterS} s, or remove functions that are not needed`;
  return new NemoError('NO_CAPACITY', `no memory is left for a sandbox of "${key}"`, { hint, details });
}
