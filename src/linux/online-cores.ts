/** Which cores there are to bind threads to. An offline one has a directory in sysfs too, so that is no test. */

import { readFileSync } from 'node:fs';
import { NemoError } from '../errors.js';
import { parseCpuList } from './process.js';

/** Numbers of the online cores, ascending. */
export function onlineCores(): number[] {
  return parseCpuList(readFileSync('/sys/devices/system/cpu/online', 'latin1').trim());
}

/** Throws NO_SUCH_CORE. */
export function requireCore(cpu: number): void {
  const online = onlineCores();
  if (online.includes(cpu)) return;
  throw new NemoError('NO_SUCH_CORE', `this machine has no online core ${cpu}`, {
    hint: `its online cores are ${online.join(', ')}`,
    details: { core: cpu },
  });
}
