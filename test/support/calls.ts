/** A call as some source would make it. */

import type { Call, Principal } from '../../src/model/call.js';
import { functionRef } from '../../src/model/function-ref.js';

export const CALLER: Principal = { source: 'http', name: '192.0.2.1' };

export function callOf(name: string, over: Partial<Call> = {}): Call {
  return {
    ...{ callId: 'call-1', ref: functionRef(name), method: 'POST', path: '/', query: '', headers: {} },
    ...{ body: Buffer.alloc(0), principal: CALLER, mode: 'sync', traceparent: undefined },
    deadlineMs: Number.POSITIVE_INFINITY,
    ...over,
  };
}
