/**
 * Admission by bounds: of each function's queue, and of the node's memory. A call that could never get a sandbox is
 * better refused at once, with the time to try again, than kept until it fails.
 */

import { DISPATCH } from '../../tunables/index.js';
import type { AdmissionPolicy } from './policy.js';

const RETRY_MAX_S = 60;

export interface QueueBounds {
  queueMax: number;
  queueMaxBytes: number;
  queuesMaxBytes: number;
}

export function guardAdmission(bounds: QueueBounds): AdmissionPolicy {
  return {
    name: 'guard',
    refuse(now) {
      if (now.queued >= bounds.queueMax || now.queuedBytes > bounds.queueMaxBytes) {
        // By then half of the queue is done, if one sandbox works on it.
        return { why: 'queue full', retryAfterS: seconds((now.queued * now.meanMs) / 2) };
      }
      // Each has as much as it leaves free, and one short call of each may wait, however much others have.
      const { waitingCallBytes } = DISPATCH;
      const isFirst = now.queued === 0 && now.queuedBytes <= waitingCallBytes;
      const ownBytes = now.queuedBytes + now.queued * waitingCallBytes;
      if (!isFirst && ownBytes > bounds.queuesMaxBytes - now.allQueuedBytes) {
        return { why: 'queues full', retryAfterS: seconds(now.meanMs) };
      }
      // Reading memory costs; where a sandbox is there, or coming, nothing depends on it.
      if (now.sandboxes > 0) return undefined;
      const lacking = now.lackingBytes();
      if (lacking <= 0 || lacking <= now.evictableBytes()) return undefined;
      return { why: 'no memory', retryAfterS: seconds(now.meanMs) };
    },
  };
}

function seconds(ms: number): number {
  return Math.min(RETRY_MAX_S, Math.max(1, Math.ceil(ms / 1000)));
}
