/** What HTTP asks of an intermediary (RFC 9110, 7.6), which the agent is between a caller and the server in an image. */

import type { SandboxReply } from '../../sandbox/engine.js';
import { HOP_BY_HOP } from '../../sandbox/reports.js';

const VIA = '1.1 nemo';

/** Headers of a request as they are passed on, beside `sent`, to which they are added. Undefined: it goes no further. */
export function forwardedHeaders(
  method: string,
  headers: Readonly<Record<string, string>>,
  sent: Record<string, string>,
): Record<string, string> | undefined {
  for (const [name, value] of Object.entries(headers)) {
    if (!HOP_BY_HOP.has(name) && name !== 'content-length' && name !== 'expect') sent[name] = value;
  }
  // Every gateway says that a request came through it (7.6.3).
  sent.via = headers.via === undefined ? VIA : `${headers.via}, ${VIA}`;
  if (headers['max-forwards'] !== undefined && method === 'OPTIONS') {
    const left = Number(headers['max-forwards']);
    if (left === 0) return undefined;
    if (left > 0) sent['max-forwards'] = `${left - 1}`;
  }
  return sent;
}

/** To `Max-Forwards: 0` a gateway is the last to answer (7.6.2). */
export function answerInstead(reply: SandboxReply): void {
  reply.onHead(204, { allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' });
  reply.onEnd();
}

/** Headers of an answer, without those of one connection. */
export function joinHeaders(answered: Record<string, string | string[] | undefined>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(answered)) {
    if (value === undefined || name === '__proto__') continue;
    // The one header that may come several times: its values are joined by newlines.
    headers[name] = Array.isArray(value) ? value.join(name === 'set-cookie' ? '\n' : ', ') : value;
  }
  // What it names is of this connection, too (7.6.1).
  for (const name of headers.connection?.split(',') ?? []) delete headers[name.trim().toLowerCase()];
  return headers;
}
