/** The time line of a call, as APIs show it. */

import type { CallMode, CallSource, StartKind } from './call.js';

/** One call; the stages follow one another and add up to `totalMs`. A stage that was not reached is 0. */
export interface CallTrace {
  callId: string;
  functionName: string;
  /** Who called: the kind of source, and which (see Principal). */
  source: CallSource;
  caller: string;
  /** `sync`: somebody waited for the answer. */
  mode: CallMode;
  /** When it was accepted, milliseconds since 1970. */
  timeMs: number;
  /** Accepted until handed to a sandbox, less `startMs`: no place on a core. */
  queuedMs: number;
  /** Of that wait, while the sandbox that took it was being made for it, or given its code. */
  startMs: number;
  /** In the sandbox until its turn: another call ran there, or on the core. */
  turnMs: number;
  /** From its turn to the first byte of the answer. */
  runMs: number;
  /** First byte to the end of the answer. */
  replyMs: number;
  totalMs: number;
  /** How ready its sandbox was; null if it never got one. */
  start: StartKind | null;
  /** -1 if it never got to a core. */
  core: number;
  sandboxId: string;
  /** Error code, or null for success. */
  error: string | null;
  /** CPU time of the sandbox while the call ran; null where it was not looked at. */
  cpuMs: number | null;
  /** Memory of the sandbox at the end of the call. */
  memoryBytes: number | null;
  /** Page faults of the sandbox while the call ran, as the kernel counts them by group; null for threads of a process. */
  faults: number | null;
  /** The caller's W3C `traceparent`, or empty. */
  traceparent: string;
}
