/**
 * What a confined process unpacked -> a lower directory of overlayfs. The process is gone and is not believed: every
 * entry is looked at again. Everything then belongs to root and may be read by all, as sandboxes have users of their own;
 * set-id bits go; links to `takenAway` become overlayfs's whiteouts, which only root can make, or, beside what the layer itself
 * has of that name, nothing or an opaque directory. Runs in the import worker.
 */

import {
  chmodSync,
  type Dirent,
  lchownSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { check, getxattr, mknod, setxattr } from '../linux/libc.js';
import { OCI } from '../tunables/index.js';
import { badImage } from './faults.js';
import { OPAQUE, type Room, tooLarge, WHITEOUT } from './layer.js';

const OPAQUE_ATTRIBUTE = 'trusted.overlay.opaque';
const S_IFCHR = 0o020000;
const BLOCK_BYTES = 4_096;

export interface Sealing {
  /** Who unpacked it, and owns all of it. */
  uid: number;
  takenAway: string;
  /** What the layers of the image may still use; what this one has is taken from it. */
  room: Room;
}

/** Returns the bytes that the layer takes, in whole blocks. Throws BAD_FUNCTION. */
export function sealLayer(root: string, sealing: Sealing): number {
  const before = sealing.room.bytes;
  const { dev } = lstatSync(root);
  const linked = new Set<number>();
  const walk = (directory: string, depth: number): void => {
    if (depth > OCI.depthMax) throw badImage('a layer has a path that is too deep');
    const entries = readdirSync(directory, { withFileTypes: true });
    for (const entry of entries) sealEntry(directory, entry, depth);
    lchownSync(directory, 0, 0);
    chmodSync(directory, 0o755);
  };
  const sealEntry = (directory: string, { name }: Dirent, depth: number): void => {
    const path = join(directory, name);
    const { uid, takenAway, room } = sealing;
    const found = lstatSync(path);
    const fits = found.isFile() || found.isDirectory() || found.isSymbolicLink();
    if (!fits || found.dev !== dev || (found.uid !== uid && !linked.has(found.ino)))
      throw badImage('a layer has what is neither a file, a directory nor a link');
    if (!linked.has(found.ino)) {
      room.bytes -= Math.max(BLOCK_BYTES, found.blocks * 512);
      room.entries--;
      if (room.bytes < 0 || room.entries < 0) throw tooLarge();
    }
    if (found.isDirectory()) walk(path, depth + 1);
    else if (found.isSymbolicLink() && readlinkSync(path) === takenAway) takeAway(directory, name);
    else {
      if (found.nlink > 1) linked.add(found.ino);
      lchownSync(path, 0, 0);
      if (found.isFile()) chmodSync(path, (found.mode & 0o100) === 0 ? 0o444 : 0o555);
    }
  };
  walk(root, 0);
  return before - sealing.room.bytes;
}

/** It takes away what lower layers have: a directory of this layer hides theirs, anything else does so by being there. */
function takeAway(directory: string, name: string): void {
  const path = join(directory, name);
  unlinkSync(path);
  if (name === OPAQUE) {
    makeOpaque(directory);
    return;
  }
  const gone = name.slice(WHITEOUT.length);
  if (!name.startsWith(WHITEOUT) || ['', '.', '..'].includes(gone))
    throw badImage('a layer takes away what has no name');
  const own = lstatSync(join(directory, gone), { throwIfNoEntry: false });
  if (own === undefined) check(mknod(join(directory, gone), S_IFCHR, 0), 'mknod', path);
  else if (own.isDirectory()) makeOpaque(join(directory, gone));
}

/** Nothing of the layers below one is seen. Overlayfs looks for it below the root only. */
export function hidesAllBelow(layer: string): boolean {
  const value = new Uint8Array(1);
  return getxattr(layer, OPAQUE_ATTRIBUTE, value, 1) === 1;
}

function makeOpaque(directory: string): void {
  check(setxattr(directory, OPAQUE_ATTRIBUTE, Buffer.from('y'), 1, 0), 'setxattr', directory);
}
