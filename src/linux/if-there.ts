/**
 * Files and folders that may be gone meanwhile, or that this kernel does not have: of processes, cgroups, devices. Whoever
 * must know why one cannot be read does not read it here.
 */

import { readdirSync, readFileSync } from 'node:fs';

/** Undefined if it cannot be read. */
export function readIfThere(path: string, encoding: 'latin1' | 'utf8' = 'latin1'): string | undefined {
  try {
    return readFileSync(path, encoding);
  } catch {
    return undefined;
  }
}

/** Empty if it cannot be read. */
export function textIfThere(path: string, encoding?: 'latin1' | 'utf8'): string {
  return readIfThere(path, encoding) ?? '';
}

/** What a folder holds; nothing if it cannot be read. */
export function namesIfThere(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
