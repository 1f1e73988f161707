/** Who wants to hear of every accepted call: called on the invoke path, so it must neither wait nor throw. */

import type { NemoError } from '../model/errors.js';
import type { PendingCall, Worker } from '../pool/state.js';

export interface CallObserver {
  /** Before a call is handed to a worker that has no other. */
  starting(functionName: string, worker: Worker, nowMs: number): void;
  /** After a call has ended, once. Without a worker it never left its queue; with one it is an `ActiveCall`. */
  ended(functionName: string, call: PendingCall, worker?: Worker, error?: NemoError): void;
}
