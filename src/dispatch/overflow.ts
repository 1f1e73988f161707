/** Where calls may go that this box does not accept. Without one, their callers are told why at once. */

import type { Call } from '../model/call.js';
import type { NemoError } from '../model/errors.js';
import type { ReplySink } from '../model/reply-sink.js';

export interface Overflow {
  /**
   * Called for each call that is not accepted, before anybody is told; on the invoke path, so it must neither wait nor
   * throw. `why` says whether another box may do better: OVERLOADED, NO_CAPACITY, STOPPING, or NOT_FOUND and others that
   * hold everywhere. True: the call is its own from now on, to its one end at `sink`. False: the caller is told `why`.
   */
  take(call: Call, sink: ReplySink, why: NemoError): boolean;
}
