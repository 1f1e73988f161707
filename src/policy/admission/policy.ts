/** Whether a call is taken at all. Pure; the dispatcher asks it, and so does the simulator's world. */

export interface AdmissionSnapshot {
  /** Calls of the function that wait, and the bytes of their bodies with this one's. */
  queued: number;
  queuedBytes: number;
  /** The bytes of the bodies that wait for any function, with this one's. */
  allQueuedBytes: number;
  /** Mean length of its calls, ms. */
  meanMs: number;
  /** Sandboxes of the function that are warm, loading or being made: with none, this call needs a new one. */
  sandboxes: number;
  /** Memory that is lacking for a new one, 0 or less: none; and what ending idle ones would give. */
  lackingBytes(): number;
  evictableBytes(): number;
}

export type Refusal = { why: 'queue full' | 'queues full' | 'no memory'; retryAfterS: number };

export interface AdmissionPolicy {
  readonly name: string;
  /** Called for every call before it is queued. Undefined: it is taken. */
  refuse(snapshot: AdmissionSnapshot): Refusal | undefined;
}
