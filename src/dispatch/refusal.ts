/** Why a call is not accepted, as the caller reads it. Admission itself is a policy (`sandbox/admission`). */

import { NemoError } from '../model/errors.js';
import type { AdmissionPolicy, Refusal } from '../policy/admission/policy.js';
import type { FunctionState } from '../pool/function-state.js';
import type { Pool } from '../pool/pool.js';
import type { QueuedBytes } from '../pool/waiting-calls.js';

export function unknownFunction(name: string): NemoError {
  return new NemoError('NOT_FOUND', `no function is called "${name}"`, {
    hint: 'nemo ls shows what is deployed',
  });
}

/** Asks the admission policy, with one snapshot for all calls: this is on the path of each. */
export class Refusals {
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

  /** OVERLOADED or NO_CAPACITY, with `retryAfterS`; undefined: the call may wait in the queue of `fn`. */
  of(fn: FunctionState, bodyBytes: number): NemoError | undefined {
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
  const { name } = fn;
  const { retryAfterS } = refusal;
  const details = { retryAfterS };
  if (refusal.why === 'queue full') {
    const message = `${fn.queued} calls of "${name}" with ${fn.queuedBytes} bytes already wait`;
    return new NemoError('OVERLOADED', message, { hint: 'try again later, or call less often', details });
  }
  if (refusal.why === 'queues full') {
    const message = `calls of all functions with ${allQueuedBytes} bytes already wait`;
    return new NemoError('OVERLOADED', message, { hint: 'try again later, or send less', details });
  }
  const hint = `try again in ${retryAfterS} s, or remove functions that are not needed`;
  return new NemoError('NO_CAPACITY', `no memory is left for a sandbox of "${name}"`, { hint, details });
}
