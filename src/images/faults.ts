/** Words for images that cannot be used. */

import { NemoError } from '../model/errors.js';
import { storageFault } from '../model/storage-fault.js';

export function badImage(message: string, hint = 'build the image again'): NemoError {
  return new NemoError('BAD_FUNCTION', message, { hint });
}

export function storageFull(what: string): NemoError {
  return new NemoError('STORAGE_FULL', what, {
    hint: 'free space in the state directory, or remove functions with large images',
  });
}

/** What a failed write of the image store is to its user. */
export function storeFault(thrown: unknown, doing: string): NemoError {
  return storageFault(doing, thrown, 'check the state directory');
}
