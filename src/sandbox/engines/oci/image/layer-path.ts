/**
 * Where an entry of a layer may go. An image is written by somebody else: nothing in it may name, follow or replace
 * anything outside the layer's own directory, nor go so deep that nobody could remove it.
 */

import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { OCI } from '../../../../tunables.js';
import { badImage } from './faults.js';

/** The parts of a path inside a layer; empty for the layer itself. Throws BAD_FUNCTION. Pure. */
export function layerParts(path: string): string[] {
  const shown = JSON.stringify(path.slice(0, 200));
  if (Buffer.byteLength(path) > OCI.pathMaxBytes)
    throw badImage(`a layer has a path that is too long: ${shown}`);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || path.includes('\0') || parts.some((part) => Buffer.byteLength(part) > 255))
    throw badImage(`a layer has an entry outside of the image: ${shown}`);
  if (parts.length > OCI.depthMax) throw badImage(`a layer has a path that is too deep: ${shown}`);
  return parts;
}

/**
 * The directory `parts` below `root`, made where it is missing, each after `onMake`. A symlink on the way, which would
 * lead a later write elsewhere, is refused.
 */
export function realDirectory(root: string, parts: readonly string[], onMake: () => void): string {
  let at = root;
  for (const part of parts) {
    at = join(at, part);
    const found = lstatSync(at, { throwIfNoEntry: false });
    if (found === undefined) {
      onMake();
      mkdirSync(at, { mode: 0o755 });
    } else if (!found.isDirectory()) {
      throw badImage(
        `a layer writes through ${JSON.stringify(parts.join('/'))}, which is not a directory in it`,
      );
    }
  }
  return at;
}
