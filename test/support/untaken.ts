/** What the kernel holds of connections, in the network namespace of this process. */

import { readFileSync } from 'node:fs';

/** Bytes that the peer at `port` has not taken, of each connection to it that has such, closed ones too. */
export function untakenTo(port: number): number[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1);
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[2]?.endsWith(wanted))
    .map((fields) => Number.parseInt(fields[4]!.split(':')[0]!, 16))
    .filter((bytes) => bytes > 1);
}
