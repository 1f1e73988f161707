/**
 * A UNIX socket of the agent to which only one user, that of a sandbox, may connect. An `error` event without a
 * listener would end the agent: here each becomes a NemoError for the owner of the socket. If the socket could not be
 * made, it is not `listening` and the error follows; otherwise one connection failed and the socket goes on.
 */

import { chmodSync, chownSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { NemoError } from '../model/errors.js';

export function listenForUser(
  path: string,
  uid: number,
  onConnection: (socket: Socket) => void,
  onError: (error: NemoError) => void,
): Server {
  const server = createServer(onConnection);
  server.on('error', (cause) => onError(socketError(path, cause)));
  server.listen(path);
  // `listen` binds such a path before it returns, or fails.
  if (!server.listening) return server;
  try {
    chownSync(path, uid, uid);
    chmodSync(path, 0o600);
  } catch (thrown) {
    server.close();
    throw socketError(path, thrown as Error);
  }
  return server;
}

function socketError(path: string, cause: Error): NemoError {
  return new NemoError('SANDBOX_START', `the socket of a sandbox failed: ${cause.message}`, {
    hint: 'usual causes: a full disk, no memory left, or a path of more than 107 bytes',
    details: { path },
    cause,
  });
}
