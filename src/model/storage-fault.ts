/** What a failed write is to whoever asked for it: STORAGE_FULL (507) where there is no room, else STORE. */

import { isStorageFull, NemoError } from './errors.js';

/** `what` could not be done, `where`, in words. A NemoError stays what it is. */
export function storageFault(what: string, cause: unknown, hint: string): NemoError {
  if (cause instanceof NemoError) return cause;
  const { message } = cause instanceof Error ? cause : { message: String(cause) };
  if (!isStorageFull(cause)) return new NemoError('STORE', `${what}: ${message}`, { hint, cause });
  return new NemoError('STORAGE_FULL', `${what}: no space left on its disk`, {
    hint: 'make room there, remove functions that are not needed, or set stateDir to another disk',
    cause,
  });
}
