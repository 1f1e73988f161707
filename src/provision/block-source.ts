/** Where what a function needs comes from: bytes, named by their sha256. The registry knows no more of bundles than this. */

import type { SourceKind } from '../model/function-source.js';

/** Code of that kind, or a package of modules. */
export type BlockContent = SourceKind | 'package';

export interface BlockRef {
  /** Hex. */
  hash: string;
  /** Of the file in which it lies on this box. */
  ending: string;
  holds: BlockContent;
}

export interface BlockSource {
  /**
   * Sees to it that the block lies on this box, with the bytes that its name promises. False: it is not there, and nobody
   * whom this source knows has it. STORE, STORAGE_FULL.
   */
  ensure(block: BlockRef): Promise<boolean>;
}
