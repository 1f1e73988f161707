/**
 * Which requests may be sent a second time (RFC 9110, 9.2.2): those that their server certainly did not take, and those
 * that do the same twice, where a connection was closed that had been waiting. The kernel resets a connection whose
 * server closed it, or died, with something unread; one of which all was read is closed without a reset.
 */

/** No connection was accepted. */
export const NOT_ACCEPTED = 'NOT_ACCEPTED';
/** A request that is not longer was sent at once, and is read whole or not at all. */
const ONE_READ_BYTES = 4 * 1024;
const IDEMPOTENT = new Set<string>(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);
/** Codes of a connection that the other side has closed, the first of them without a reset. */
const CLOSED = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** Of a request no byte of whose answer came. */
export function wasNotTaken(body: unknown, error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  const short = body === null || (Buffer.isBuffer(body) && body.length <= ONE_READ_BYTES);
  return code === NOT_ACCEPTED || (short && (code === 'ECONNRESET' || code === 'EPIPE'));
}

/** It may have been taken, but does the same twice, and its connection was closed. */
export function isRepeatable(method: string, error: Error): boolean {
  const { code = '' } = error as NodeJS.ErrnoException;
  return IDEMPOTENT.has(method) && CLOSED.has(code);
}
