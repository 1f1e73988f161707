/** Query parameters as numbers and flags; what they may be is said when they are not. */

import { NemoError } from '../../model/errors.js';

/** A whole number from 0 to `max`; larger ones count as `max`. BAD_REQUEST for anything else. */
export function countParameter(value: unknown, name: string, whenAbsent: number, max: number): number {
  if (value === undefined || value === '') return whenAbsent;
  if (typeof value === 'string' && /^\d{1,15}$/.test(value)) return Math.min(Number(value), max);
  throw new NemoError('BAD_REQUEST', `${name}=${String(value).slice(0, 40)} is not a count`, {
    hint: `${name} is a whole number, 0 or more`,
  });
}

export function flagParameter(value: unknown): boolean {
  return value === '' || value === '1' || value === 'true';
}
