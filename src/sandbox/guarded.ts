/**
 * The one place where an error in handling what a sandbox did is caught: it ends that sandbox, never the agent. Every
 * listener and timer that a sandbox can set off is wrapped in it.
 */

import { asNemoError, NemoError } from '../model/errors.js';
import { logger } from '../model/logger.js';
import { FrameError } from '../runner/frames.js';
import type { Valve } from '../streams/valve.js';
import type { SandboxReply } from './engine.js';

/** How a peer is ended because of what it did. */
export interface Endings {
  /** The peer is broken or hostile. */
  onViolation(reason: string): void;
  /** What it did could not be handled: INTERNAL, with the cause. */
  onFault(error: NemoError): void;
}

export function guarded<T = void>(peer: Endings, handle: (event: T) => void): (event: T) => void {
  return (event) => {
    try {
      handle(event);
    } catch (thrown) {
      if (thrown instanceof FrameError) peer.onViolation(thrown.message);
      else peer.onFault(faultOf(thrown));
    }
  };
}

/** Also logged, because nothing else may ever show it. */
export function faultOf(thrown: unknown): NemoError {
  const cause = asNemoError(thrown);
  logger.warn({ err: cause }, `what a sandbox sent could not be handled: ${cause.message}`);
  return new NemoError('INTERNAL', `what it sent could not be handled: ${cause.message}`, {
    hint: 'this is a fault in NEMO: the agent’s log has the details',
    cause: thrown,
  });
}

/** Tells a caller how its call ended, which must not keep others from being told. */
export function settleAll<T>(all: Iterable<T>, tell: (one: T) => void): void {
  for (const one of all) {
    try {
      tell(one);
    } catch (thrown) {
      faultOf(thrown);
    }
  }
}

/**
 * Closes `valve` until the reader of a call has taken what there is. False if it is closed for that already, or the
 * reader cannot say when it has.
 */
export function holdUntilDrained(
  call: { readonly reply: SandboxReply; held: boolean },
  valve: Valve,
  endings: Endings,
): boolean {
  const { whenDrained } = call.reply;
  if (whenDrained === undefined || call.held) return false;
  call.held = true;
  valve.hold();
  whenDrained(
    guarded(endings, () => {
      if (!call.held) return;
      call.held = false;
      valve.release();
    }),
  );
  return true;
}
