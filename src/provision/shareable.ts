/**
 * What may come from a store in which others can write. The agent reads some of what a function needs as root, and trusts
 * that a deploy checked it: that is checked again here, or does not come at all.
 */

import { checkPackages } from '../bundle/pack.js';
import { isWithin } from '../streams/json.js';
import { GATEWAY_HTTP } from '../tunables/index.js';
import type { BlockContent, BlockRef } from './block-source.js';

/** Whether blocks with this in them are given to other boxes. */
export function isShareable(holds: BlockContent): boolean {
  switch (holds) {
    // Only sandboxes read them.
    case 'module':
    case 'program':
    case 'wasm':
      return true;
    // Checked as a deploy is.
    case 'package':
      return true;
    // Its plan says what the agent mounts.
    case 'image':
      return false;
    default:
      return holds satisfies never;
  }
}

/** Whether a deploy would have taken this content, which has the right hash. */
export function isSound({ hash, holds }: BlockRef, content: Buffer): boolean {
  if (holds !== 'package') return isShareable(holds);
  try {
    const text = content.toString();
    // Sealed again, it is the same, or something in it was never deployed.
    return isWithin(text, GATEWAY_HTTP.json) && checkPackages([JSON.parse(text)])[0]?.hash === hash;
  } catch {
    return false;
  }
}
