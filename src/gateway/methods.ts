/** Methods of which every server answers for itself, whatever is behind it (RFC 9110, 9.3.6 to 9.3.8). */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { NemoError } from '../model/errors.js';
import { sendError } from './error-reply.js';

/** Functions take any other method that HTTP knows; these are what `Allow` names. */
export const METHODS_ALLOWED = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/** True if it was one of them, and has its answer: TRACE would show a page what it must not see. */
export function answerForServer({ method, url }: IncomingMessage, response: ServerResponse): boolean {
  if (method === 'TRACE') {
    sendError(response, methodRefused(method), ['Allow', METHODS_ALLOWED], 405);
    return true;
  }
  if (method !== 'OPTIONS' || url !== '*') return false;
  response.writeHead(204, { Allow: METHODS_ALLOWED }).end();
  return true;
}

export function methodRefused(method: string): NemoError {
  return new NemoError('BAD_REQUEST', `${method} is not answered here`, {
    hint: `send one of ${METHODS_ALLOWED}`,
  });
}
