/**
 * What a failed write is to whoever asked for it: STORAGE_FULL (507) where there is no room, however that is told,
 * else STORE. The one place that knows how a full disk looks.
 */

import { NemoError } from './errors.js';

/** No space, no quota; as node's name, as the kernel's number, and LMDB's own for a map that cannot grow. */
const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 28, 122, 'MDB_MAP_FULL', -30_792]);
const FULL_TEXT = /\b(ENOSPC|EDQUOT|MDB_MAP_FULL)\b|no space left on device|disk quota exceeded/i;

export function isStorageFull(thrown: unknown): boolean {
  for (let depth = 0; depth < 5 && typeof thrown === 'object' && thrown !== null; depth++) {
    const { code, message, cause } = thrown as { code?: unknown; message?: unknown; cause?: unknown };
    if (FULL.has(code) || (typeof message === 'string' && FULL_TEXT.test(message))) return true;
    thrown = cause;
  }
  return false;
}

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
