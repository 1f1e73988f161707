/** Who wants to hear of every accepted call: called on the invoke path, so it must neither wait nor throw. */

import type { NemoError } from '../model/errors.js';
import type { PendingCall } from '../pool/calls.js';
import type { Instance } from '../pool/instance.js';

export interface CallObserver {
  /** Before a call is handed to an instance that has no other. */
  starting(functionName: string, instance: Instance, nowMs: number): void;
  /** After a call has ended, once. Without an instance it never left its queue; with one it is an `ActiveCall`. */
  ended(functionName: string, call: PendingCall, instance?: Instance, error?: NemoError): void;
}
