/**
 * Where the answer of a call goes. Order: onHead once, onChunk any number, then exactly one of onEnd and onError.
 * onError may come at any time, also instead of onHead.
 */

import type { CallTimeline, StartKind } from './call.js';
import type { NemoError } from './errors.js';

export type GiveBack = (error?: Error | null) => void;

/** What takes an answer as it comes. */
export interface AnswerSink {
  /**
   * `start` where it is known: an answer that is streamed shows it in its head. Several values of `set-cookie`
   * are joined by a newline.
   */
  onHead(status: number, headers: Record<string, string>, start?: StartKind): void;
  /** `sent` is to be called when the chunk is needed no more: its memory is then gone. Never called, it is collected. */
  onChunk(chunk: Buffer, sent?: GiveBack): void;
  /** True once nobody reads on: a call that still waits need not run, and a sandbox that can ends the answer. */
  readonly gone?: boolean;
  /**
   * Bytes given that the caller has not taken. A source that can wait asks `whenDrained` above its bound: a slow reader slows
   * its function.
   */
  readonly backlogBytes?: number;
  /** Calls `resume` once, when the backlog is gone or the caller has left. */
  whenDrained?(resume: () => void): void;
}

export interface ReplySink extends AnswerSink {
  onEnd(timeline: CallTimeline): void;
  /** `goesOn`: the call has not ended, though its caller is told so; `over` follows. What is held for it has to be held. */
  onError(error: NemoError, timeline: CallTimeline | undefined, goesOn?: boolean): void;
  /** The end of a call that went on after its error. */
  over?(): void;
  /** After `onEnd`: why what the function answered could not be given to the caller. */
  readonly failure?: NemoError | undefined;
  /** Calls `left` once, if the caller leaves before the call has ended. */
  whenLeft?(left: () => void): void;
}
