/** haproxy in front of one backend, on the NF core. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunningNf } from '../../src/lab/testbed.js';
import { BACKEND_ADDRESS, type HttpSetup } from './http-setup.js';
import { startProgram } from './programs.js';

/** Two threads (haproxy 2.6 does not bind a single one), bound to the core, in front of the backend in the client's namespace. */
export function startHaproxy({ nf: namespace, folder }: HttpSetup, core: number): Promise<RunningNf> {
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  nbthread 2
  cpu-map 1/all ${core}
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend front
  bind :8080
  default_backend back
backend back
  server one ${BACKEND_ADDRESS}:8000
`,
  );
  // It says when it is ready only with -d: the master-less foreground process listens before it prints that.
  return startProgram({
    namespace,
    command: 'haproxy',
    args: ['-d', '-db', '-f', file],
    ready: /Using \w+\(\) as the polling mechanism/,
  });
}
