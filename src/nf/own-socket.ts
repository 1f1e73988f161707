/** A connection to a socket of an NF's own: whoever listens there has to be the NF's user, or root. */

import { BlockingSocket } from '../linux/blocking-socket.js';
import { NemoError } from '../model/errors.js';

/** Throws SYSCALL, BAD_TELEMETRY for a stranger's socket. `uid`: the NF's user. */
export function connectToNf(
  kind: 'stream' | 'seqpacket',
  path: string,
  uid: number,
  timeoutMs: number,
): BlockingSocket {
  const socket = BlockingSocket.unix(kind, path, timeoutMs);
  try {
    const owner = socket.peerUser();
    if (owner === 0 || owner === uid) return socket;
    throw new NemoError('BAD_TELEMETRY', `${path} belongs to user ${owner}, not to the NF's nor to root`);
  } catch (thrown) {
    socket.close();
    throw thrown;
  }
}
