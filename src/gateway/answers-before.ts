/** Requests come one behind the other on a connection, and so do their answers: nothing else is written before them. */

import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/**
 * Calls `then` when what was asked on the connection before is answered; never, if the connection ends first. A request
 * whose body broke off is not one of them: if it has no answer yet, `then` gives it; if it has, the connection ends.
 */
export function afterAnswers(socket: Duplex, then: () => void): void {
  if (socket.destroyed) return;
  // Node's own name for the answer whose turn it is.
  const { _httpMessage: before } = socket as Duplex & { _httpMessage?: ServerResponse | null };
  if (before == null) then();
  else if (before.req.complete) before.once('close', () => afterAnswers(socket, then));
  else if (!before.headersSent) then();
  else if (before.writableEnded) socket.end(() => socket.destroy());
  else socket.destroy();
}
