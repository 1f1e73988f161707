/** What a deployed function is, and what one call of it is. Plain data: stored, sent between parts, shown. */

import type { NemoError } from './errors.js';
import type { FunctionRef } from './function-ref.js';
import type { StoredSource } from './function-source.js';
import type { PackageRef } from './package.js';

/** A deployed function. */
export interface FunctionSpec {
  ref: FunctionRef;
  /** The isolation engine that runs it (`nemo engines`). */
  engine: string;
  /** Functions of one group may share a process, in engines that do that. Without it, it shares with none. */
  sharingGroup?: string;
  source: StoredSource;
  /** sha256 of what the engine made of the code, hex; with the ending of its source it names the file in the bundle directory. */
  codeHash: string;
  codeBytes: number;
  /** Packages that are kept apart from its code, in the order of their hashes; none without it. */
  packages?: PackageRef[];
  memoryBytes: number;
  timeoutMs: number;
  /** Calls that one sandbox may serve at the same time. */
  concurrency: number;
  /** Environment of the function. Values are never shown by the API: only the names. */
  env: Record<string, string>;
  /** What it may connect to: `host:port`, `address:port`, `network/bits:port`. Nothing without it. */
  egress?: string[];
  /** Cron expression that calls the function with an empty body, or none. */
  schedule?: string;
  createdAt: string;
  updatedAt: string;
}

/** How ready the sandbox was that took a call: none was there; a stem got the code; the code was loaded. */
export type StartKind = 'cold' | 'stem' | 'warm';

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
  body: Buffer;
}

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

/**
 * Where the answer of a call goes. Order: onHead once, onChunk any number, then exactly one of onEnd and onError.
 * onError may come at any time, also instead of onHead.
 */
export interface Sink {
  /**
   * `start` where it is known: an answer that is streamed shows it in its head. Several values of `set-cookie`
   * are joined by a newline.
   */
  onHead(status: number, headers: Record<string, string>, start?: StartKind): void;
  /** `sent` is to be called when the chunk is needed no more: its memory is then gone. Never called, it is collected. */
  onChunk(chunk: Buffer, sent?: GiveBack): void;
  onEnd(timeline: CallTimeline): void;
  onError(error: NemoError, timeline: CallTimeline | undefined): void;
  /** True once the caller has left: a call that still waits need not run. */
  readonly gone?: boolean;
  /** Calls `left` once, if the caller leaves before the call has ended. */
  whenLeft?(left: () => void): void;
  /** Bytes given that the caller has not taken. A source that can wait asks `whenDrained` above its bound. */
  readonly backlogBytes?: number;
  /** Calls `resume` once, when the backlog is gone or the caller has left. */
  whenDrained?(resume: () => void): void;
}

/** One line that a function printed. */
export interface LogLine {
  timeMs: number;
  /** `FunctionRef.key`. */
  functionName: string;
  sandboxId: string;
  stream: 'stdout' | 'stderr';
  text: string;
}

export type GiveBack = (error?: Error | null) => void;
