/** One way of calling functions over HTTP: a folder each, and a line in server.ts. The native one is the first. */

import type { IncomingMessage, ServerResponse } from 'node:http';

/** On whose behalf a request is: made once and shared by all of its kind, as requests are many. */
export interface Principal {
  /** From a page on the origin of API and console, to which what a function answers must not belong. */
  readonly sharesOrigin: boolean;
}

export interface Api {
  /** Of the paths of its calls. */
  readonly prefix: string;
  /**
   * Called for each request whose path begins with `prefix`, when Host, Origin and framing are right and nobody has read its
   * body. Answers it, now or later; never throws. This is the hot path.
   */
  handle(request: IncomingMessage, response: ServerResponse, principal: Principal): void;
}

export const ON_SHARED_ORIGIN: Principal = { sharesOrigin: true };
export const ON_OWN_ORIGIN: Principal = { sharesOrigin: false };

/** Undefined for paths of no API: those of the console and of what manages this box. */
export function apiOf(apis: readonly Api[], path: string): Api | undefined {
  for (const api of apis) if (path.startsWith(api.prefix)) return api;
  return undefined;
}
