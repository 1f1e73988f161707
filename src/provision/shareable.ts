/**
 * What may come from a store in which others can write. The agent reads some of what a function needs as root, and trusts
 * that a deploy checked it: that is checked again here, or does not come at all.
 */

import { checkPackages, PACKAGE_ENDING } from '../bundle/pack.js';
import { isWithin } from '../streams/json.js';
import { GATEWAY_HTTP } from '../tunables/index.js';
import type { BlockRef } from './block-source.js';

/** Code that only a sandbox reads: modules, WebAssembly, programs. Not `image`: its plan says what the agent mounts. */
const READ_BY_SANDBOXES = ['mjs', 'wasm', 'bin', 'srv'];

/** Whether blocks of this kind are given to other boxes. */
export function isShareable(ending: string): boolean {
  return ending === PACKAGE_ENDING || READ_BY_SANDBOXES.includes(ending);
}

/** Whether a deploy would have taken this content, which has the right hash. */
export function isSound({ hash, ending }: BlockRef, content: Buffer): boolean {
  if (ending !== PACKAGE_ENDING) return READ_BY_SANDBOXES.includes(ending);
  try {
    const text = content.toString();
    // Sealed again, it is the same, or something in it was never deployed.
    return isWithin(text, GATEWAY_HTTP.json) && checkPackages([JSON.parse(text)])[0]?.hash === hash;
  } catch {
    return false;
  }
}
