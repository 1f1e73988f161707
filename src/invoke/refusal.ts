/** Why a call is not accepted, as the caller reads it. Admission itself is a policy (`sandbox/admission`). */

import { NemoError } from '../errors.js';
import type { AdmissionPolicy } from '../sandbox/admission/policy.js';
import type { Pool } from '../sandbox/pool.js';
import type { FunctionState } from './function-state.js';

export function unknownFunction(name: string): NemoError {
  return new NemoError('NOT_FOUND', `no function is called "${name}"`, {
    hint: 'nemo ls shows what is deployed',
  });
}

/** OVERLOADED or NO_CAPACITY, with `retryAfterS`; undefined: the call may wait in the queue of `fn`. */
export function refusalOf(
  fn: FunctionState,
  bodyBytes: number,
  allQueuedBytes: number,
  admission: AdmissionPolicy,
  pool: Pool,
): NemoError | undefined {
  const { name, memoryBytes } = fn.spec;
  const refusal = admission.refuse({
    queued: fn.queued,
    queuedBytes: fn.queuedBytes + bodyBytes,
    allQueuedBytes: allQueuedBytes + bodyBytes,
    meanMs: fn.meanMs,
    sandboxes: fn.workers.length + fn.starting,
    lackingBytes: () => pool.lackingBytes(memoryBytes, pool.stemKind(fn.spec)),
    evictableBytes: () => pool.evictableBytes(),
  });
  if (refusal === undefined) return undefined;
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
