/** What the kernel holds of connections, in the network namespace of this process. */

import { readFileSync } from 'node:fs';

/** Bytes that the peer at `port` has not taken, of each connection to it that has such, closed ones too. */
export function untakenTo(port: number): number[] {
  return connectionsTo(port).map(({ bytes }) => bytes);
}

/** How many of these have been ended, and how many of them no process has open any more. */
export function endedTo(port: number): { ended: number; left: number } {
  const ended = connectionsTo(port).filter(({ state }) => state === FIN_WAIT1);
  return { ended: ended.length, left: ended.filter(({ inode }) => inode === '0').length };
}

const FIN_WAIT1 = '04';

function connectionsTo(port: number) {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1);
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[2]?.endsWith(wanted))
    .map((fields) => ({
      state: fields[3]!,
      bytes: Number.parseInt(fields[4]!.split(':')[0]!, 16),
      inode: fields[9]!,
    }))
    .filter(({ bytes }) => bytes > 1);
}
