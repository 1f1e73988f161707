/** The NF that is measured, as a descriptor that its worker keeps: never another process that got its pid. */

import { openProcessDirectory, type ProcessId } from '../../linux/process-directory.js';
import { NemoError } from '../../model/errors.js';

/** Of its directory below /proc. Throws NOT_FOUND if the NF is gone. */
export function openNf(nf: ProcessId): number {
  const fd = openProcessDirectory(nf);
  if (fd === undefined) throw new NemoError('NOT_FOUND', `process ${nf.pid} is gone`);
  return fd;
}
