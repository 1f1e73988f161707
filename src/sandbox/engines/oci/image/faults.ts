/** Words for images that cannot be used. */

import { NemoError } from '../../../../errors.js';

export function badImage(message: string, hint = 'build the image again'): NemoError {
  return new NemoError('BAD_FUNCTION', message, { hint });
}

/** What a failed write of the image store is to its user. */
export function storeFault(thrown: unknown, doing: string): NemoError {
  if (thrown instanceof NemoError) return thrown;
  const { code, message } = thrown as NodeJS.ErrnoException;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new NemoError('STORE', `${doing}: ${full ? 'the disk is full' : message}`, {
    hint: full
      ? 'free space in the state directory, or remove functions with large images'
      : 'check the state directory',
    cause: thrown,
  });
}
