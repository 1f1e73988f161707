/**
 * Where an entry of a layer may go. An image is written by somebody else: nothing in it may name, follow or replace
 * anything outside the layer's own directory, nor go so deep that nobody could remove it.
 */

import { lstatSync, mkdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { OCI } from '../tunables/index.js';
import { badImage } from './faults.js';

const LINKS_MAX = 40;

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
 * The directory `parts` below `root`, made where it is missing, each after `onMake`. A symlink on the way is followed to a
 * directory that the layer has, as `lib -> usr/lib`; one that leads elsewhere, or out of the layer, is refused.
 */
export function realDirectory(root: string, parts: readonly string[], onMake: () => void): string {
  const refused = (): Error =>
    badImage(`a layer writes through ${JSON.stringify(parts.join('/'))}, which is not a directory in it`);
  let done: string[] = [];
  const left = [...parts];
  /** How many of those that are left are a link's: they have to be there. */
  let linked = 0;
  for (let links = 0; left.length > 0; ) {
    const part = left.shift()!;
    const at = join(root, ...done, part);
    const found = lstatSync(at, { throwIfNoEntry: false });
    if (found?.isSymbolicLink()) {
      const target = linkParts(readlinkSync(at), done);
      if (target === undefined || ++links > LINKS_MAX) throw refused();
      left.unshift(...target);
      linked = target.length + Math.max(0, linked - 1);
      done = [];
      continue;
    }
    if (found === undefined) {
      if (linked > 0) throw refused();
      onMake();
      mkdirSync(at, { mode: 0o755 });
    } else if (!found.isDirectory()) throw refused();
    linked = Math.max(0, linked - 1);
    done.push(part);
  }
  return join(root, ...done);
}

/** From the root of the layer; undefined if it leads above that. */
function linkParts(target: string, from: readonly string[]): string[] | undefined {
  const parts = target.startsWith('/') ? [] : [...from];
  for (const part of target.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) return undefined;
    } else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.length > OCI.depthMax ? undefined : parts;
}
