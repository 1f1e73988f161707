/**
 * Who wants to hear of calls: each one has one end, `ended` if it was accepted and `refused` if not. Called on the invoke
 * path, so it must neither wait nor throw.
 */

import type { CallHead } from '../model/call.js';
import type { NemoError } from '../model/errors.js';
import type { PendingCall } from '../pool/calls.js';
import type { Instance } from '../pool/instance.js';
import { isGivenUp } from './left-callers.js';

export interface CallObserver {
  /** Before a call is handed to an instance that has no other. */
  starting?(functionKey: string, instance: Instance, nowMs: number): void;
  /** Without an instance it never left its queue; with one it is an `ActiveCall`. */
  ended?(functionKey: string, call: PendingCall, instance?: Instance, error?: NemoError): void;
  /** There is no such function, no room for the call, or something that no function is asked. */
  refused?(functionKey: string, call: CallHead, error: NemoError): void;
  /** Code could not be loaded ahead of calls. */
  loadFailed?(functionKey: string, error: NemoError, sandboxId: string): void;
}

/** All of them as one. */
export class CallObservers implements Required<CallObserver> {
  constructor(private readonly all: readonly CallObserver[]) {}

  starting(functionKey: string, instance: Instance, nowMs: number): void {
    for (const one of this.all) one.starting?.(functionKey, instance, nowMs);
  }

  ended(functionKey: string, call: PendingCall, instance?: Instance, error?: NemoError): void {
    for (const one of this.all) one.ended?.(functionKey, call, instance, error);
  }

  refused(functionKey: string, call: CallHead, error: NemoError): void {
    for (const one of this.all) one.refused?.(functionKey, call, error);
  }

  loadFailed(functionKey: string, error: NemoError, sandboxId: string): void {
    for (const one of this.all) one.loadFailed?.(functionKey, error, sandboxId);
  }
}

/** For those who only want to hear what failed of what a function was asked. */
export function failuresTo(
  tell: (functionKey: string, error: NemoError, sandboxId: string | undefined) => void,
): CallObserver {
  return {
    ended(functionKey, _call, instance, error) {
      if (error !== undefined && !isGivenUp(error)) tell(functionKey, error, instance?.id);
    },
    loadFailed: tell,
  };
}
