/**
 * What several commands read from their command line: numbers in bounds, and files that are written when the work
 * is done. Both are checked before the work begins: a typo must not cost the minutes that came before it.
 */

import { accessSync, constants, existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { NemoError } from '../model/errors.js';

export interface NumberBounds {
  least: number;
  most?: number;
  whole?: true;
  /** `least` itself is too little. */
  exclusive?: true;
}

export const PORT: NumberBounds = { least: 0, most: 65_535, whole: true };
export const ABOVE_ZERO: NumberBounds = { least: 0, exclusive: true };
export const COUNT: NumberBounds = { least: 1, whole: true };

/** BAD_CONFIG, naming the option and what it may be. */
export function numberOption(text: string, option: string, bounds: NumberBounds): number {
  const { least, most, whole, exclusive } = bounds;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  const fits =
    (whole ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
    (exclusive ? value > least : value >= least) &&
    value <= (most ?? Number.POSITIVE_INFINITY);
  if (fits) return value;
  const range =
    most !== undefined ? `from ${least} to ${most}` : exclusive ? `above ${least}` : `from ${least} up`;
  throw new NemoError(
    'BAD_CONFIG',
    `${option} must be a ${whole ? 'whole ' : ''}number ${range}, not "${text}"`,
  );
}

/** BAD_CONFIG if no file can be written there; `option` names what the user typed. */
export function checkOutput(path: string | undefined, option: string): void {
  if (path === undefined) return;
  const file = resolve(path);
  const folder = dirname(file);
  const why = existsSync(file)
    ? statSync(file).isDirectory()
      ? 'it is a folder'
      : refusalOf(file)
    : existsSync(folder) && statSync(folder).isDirectory()
      ? refusalOf(folder)
      : `there is no folder ${folder}`;
  if (why !== undefined) throw unwritable(option, path, why);
}

function refusalOf(path: string): string | undefined {
  try {
    accessSync(path, constants.W_OK);
    return undefined;
  } catch (cause) {
    return `it may not be written (${(cause as NodeJS.ErrnoException).code})`;
  }
}

export function writeOutput(path: string, option: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (cause) {
    throw unwritable(option, path, (cause as Error).message, cause);
  }
}

function unwritable(option: string, path: string, why: string, cause?: unknown): NemoError {
  return new NemoError('BAD_CONFIG', `${option} ${path}: ${why}`, {
    hint: 'give a file in a folder that is there and may be written',
    cause,
  });
}
