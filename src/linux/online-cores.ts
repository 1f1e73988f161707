/** Which cores there are to bind threads to. An offline one has a directory in sysfs too, so that proves nothing. */

import { readFileSync } from 'node:fs';
import { parseCpuList } from './process.js';

/** Numbers of the online cores, ascending. */
export function onlineCores(): number[] {
  return parseCpuList(readFileSync('/sys/devices/system/cpu/online', 'latin1').trim());
}
