/**
 * One agent of a name on a box. The lock is a listening socket in the kernel's abstract namespace: it is gone with
 * the process, however that ends, and leaves no file behind.
 */

import { createServer, type Server } from 'node:net';
import { NemoError } from './errors.js';

/** Throws AGENT_RUNNING if another process holds the name. */
export async function lockAgent(name: string): Promise<() => Promise<void>> {
  const server: Server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'EADDRINUSE'
          ? new NemoError('AGENT_RUNNING', `an agent called "${name}" already runs on this box`, {
              hint: 'stop it first, or give this one another name, cores and port in its configuration',
              cause,
            })
          : new NemoError('INTERNAL', `the agent's lock cannot be taken: ${cause.message}`, { cause }),
      ),
    );
    server.listen(`\0nemo-agent-${name}`, resolve);
  });
  server.unref();
  return () => new Promise((resolve) => server.close(() => resolve()));
}
