/** What calls functions without being asked over HTTP: by the clock, from a queue. A kind is a file and a line in catalogue.ts. */

import type { Platform } from '../model/platform.js';
import type { Store } from '../store/store.js';

export interface SourceContext {
  readonly agentName: string;
  readonly platform: Platform;
  readonly store: Store;
}

export interface Source {
  /** Makes no more calls from now on; resolves when those that run have ended, or their outcome no longer matters. */
  close(): Promise<void>;
}

/** `C`: what the configuration says of all kinds. */
export interface SourceKind<C> {
  readonly kind: string;
  /** Sources run when it resolves. None where the configuration names none. */
  open(config: C, context: SourceContext): Promise<Source[]>;
}
