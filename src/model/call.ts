/**
 * One call of a function: what every source of calls (HTTP, schedules, queues, the simulator) hands to the dispatcher, and
 * the time line that comes back. Where the answer goes is a `ReplySink`.
 */

import type { FunctionRef } from './function-ref.js';

/** How ready the sandbox was that took a call: none was there; a stem got the code; the code was loaded. */
export type StartKind = 'cold' | 'stem' | 'warm';

/** Where the bytes of a body are: so far always in this process's own memory. */
export type BodyRef = Buffer;

/** What its sandbox is given of a call. */
export interface CallRequest {
  /** Unique, kept from the caller's `X-Call-Id` where there is one. */
  callId: string;
  ref: FunctionRef;
  method: string;
  /** What follows the function's name, with its slash; `/` if nothing does. */
  path: string;
  /** Raw query string without `?`. */
  query: string;
  headers: Record<string, string>;
  body: BodyRef;
}

export type CallSource = 'http' | 'cron' | 'queue';

/** Who calls. Made once for all calls of its kind, as these are many. */
export interface Principal {
  readonly source: CallSource;
  /** Of HTTP the client's address (or its IPv6 network), of a queue its name, of a schedule its expression. */
  readonly name: string;
}

/** `sync`: somebody waits for the answer. */
export type CallMode = 'sync' | 'async';

/** A caller's valid W3C `traceparent`. */
export interface TraceParent {
  /** As it came. */
  readonly text: string;
  readonly traceId: string;
  readonly parentId: string;
  readonly flags: number;
}

export interface Call extends CallRequest {
  principal: Principal;
  mode: CallMode;
  /** When its caller gives up, on the clock of `performance.now()`; infinity: never. The function's timeout holds all the same. */
  deadlineMs: number;
  traceparent: TraceParent | undefined;
}

/** What is known also of a call that was refused before all of it was there. */
export type CallHead = Pick<Call, 'callId' | 'principal' | 'mode'>;

/** The time line of one call, milliseconds of `performance.now()`. */
export interface CallTimeline {
  acceptedMs: number;
  /** Handed to a sandbox. */
  dispatchedMs: number;
  /** First byte of the answer. */
  firstByteMs: number;
  endedMs: number;
  start: StartKind;
  /** True for the first call that its sandbox ever ran. */
  firstInSandbox: boolean;
  core: number;
  sandboxId: string;
}
