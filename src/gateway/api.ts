/** One way of calling functions over HTTP: a folder each, and a line in server.ts. The native one is the first. */

import type { IncomingMessage, ServerResponse } from 'node:http';

/** The origin that a request came to. */
export interface Origin {
  /** It is also that of API and console, to which what a function answers must not belong. */
  readonly shared: boolean;
}

export interface Api {
  /** Of the paths of its calls. */
  readonly prefix: string;
  /**
   * Called for each request whose path begins with `prefix`, when Host, Origin and framing are right and nobody has read its
   * body. Answers it, now or later; never throws. This is the hot path.
   */
  handle(request: IncomingMessage, response: ServerResponse, origin: Origin): void;
}

export const SHARED_ORIGIN: Origin = { shared: true };
export const OWN_ORIGIN: Origin = { shared: false };

/** Undefined for paths of no API: those of the console and of what manages this box. */
export function apiOf(apis: readonly Api[], path: string): Api | undefined {
  for (const api of apis) if (path.startsWith(api.prefix)) return api;
  return undefined;
}
