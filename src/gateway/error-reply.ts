/** How every API answers with an error: the code's HTTP status and one JSON object. */

import type { ServerResponse } from 'node:http';
import { NemoError } from '../model/errors.js';
import { GATEWAY_HTTP } from '../tunables/index.js';

/** What went wrong inside is said by the log. */
const FAULT = new NemoError('INTERNAL', 'a fault in NEMO itself', { hint: 'the log of the agent says more' });

/**
 * `X-Nemo-Error` tells an error of the platform from an answer that a function gave with the same status.
 * `status` only where HTTP has a better one than the code's own. Does nothing once the head is out.
 */
export function sendError(
  response: ServerResponse,
  error: NemoError,
  headers: readonly string[] = [],
  status: number = error.httpStatus,
): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(`${JSON.stringify(error.code === 'INTERNAL' ? FAULT : error)}\n`);
  const flat = [
    ...headers,
    'X-Nemo-Error',
    error.code,
    'Content-Type',
    'application/json',
    'Content-Length',
    String(body.length),
  ];
  if (status === 429 || status === 503) {
    flat.push('Retry-After', String(error.details?.retryAfterS ?? GATEWAY_HTTP.retryAfterS));
  }
  if (error.code === 'BODY_CODING' && error.details?.acceptEncoding !== undefined) {
    flat.push('Accept-Encoding', String(error.details.acceptEncoding));
  }
  response.writeHead(status, flat);
  response.end(body);
}

/** The same on a bare socket, where no ServerResponse exists: a request that did not parse, a refused upgrade. */
export function rawErrorReply(
  error: NemoError,
  status: number,
  reason: string,
  headers: Record<string, string> = {},
): string {
  const body = `${JSON.stringify(error)}\n`;
  const sent: Record<string, string | number> = {
    ...{ Connection: 'close', Date: new Date().toUTCString(), 'Content-Type': 'application/json' },
    ...(status === 503 ? { 'Retry-After': GATEWAY_HTTP.retryAfterS } : {}),
    ...headers,
    'Content-Length': Buffer.byteLength(body),
  };
  const lines = Object.entries(sent).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${reason}\r\n${lines.join('')}\r\n${body}`;
}
