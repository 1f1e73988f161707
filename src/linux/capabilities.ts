/** What this process may do beyond its user (capabilities(7)): root in a container often lacks some. */

import { readFileSync } from 'node:fs';

export const CAP_SYS_RESOURCE = 24;

/** Whether the capability of this number is effective. */
export function hasCapability(number: number): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> BigInt(number)) & 1n) === 1n;
}
