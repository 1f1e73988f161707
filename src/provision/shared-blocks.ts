/**
 * Code of functions in a store that boxes share, in parts, so that what is deployed on one runs on all. Others can write
 * there too: a block is taken only if its bytes have the hash that is asked for, and are what a deploy would have stored.
 * Images, and what is larger than a store of values should hold, stay on the box where they were deployed.
 */

import type { Store } from '../store/store.js';
import { BLOCKS } from '../tunables/index.js';
import type { BlockRef, BlockSource } from './block-source.js';
import { type BundleFiles, type NewBundle, sha256 } from './bundle-files.js';
import { isShareable, isSound } from './shareable.js';

const TABLE = 'blocks';

interface Part {
  /** Of all of the block. */
  parts: number;
  base64: string;
}

export class SharedBlocks implements BlockSource {
  private readonly freed = new Set<string>();

  constructor(
    private readonly store: Store,
    private readonly files: BundleFiles,
  ) {}

  async ensure(block: BlockRef): Promise<boolean> {
    if (await this.files.ensure(block)) return true;
    if (!isShareable(block.holds)) return false;
    const content = await this.fetch(block.hash);
    if (content === undefined || sha256(content) !== block.hash || !isSound(block, content)) return false;
    await this.files.writeAll([{ content, ending: block.ending, holds: block.holds }]);
    return true;
  }

  /** Puts them where other boxes find them. */
  async offer(blocks: readonly NewBundle[]): Promise<void> {
    for (const { content, holds } of blocks) {
      if (content.length > BLOCKS.sharedMaxBytes || !isShareable(holds)) continue;
      const hash = sha256(content);
      const parts = partsOf(content.length);
      for (let i = 0; i < parts; i++) {
        const bytes = content.subarray(i * BLOCKS.partBytes, (i + 1) * BLOCKS.partBytes);
        const part: Part = { parts, base64: bytes.toString('base64') };
        await this.store.put(TABLE, `${hash}/${i}`, part);
      }
    }
  }

  /** This box needs them no longer. Others may. */
  free(hashes: readonly string[]): void {
    for (const hash of hashes) this.freed.add(hash);
  }

  get hasFreed(): boolean {
    return this.freed.size > 0;
  }

  /** Removes what this box freed and no function in the store needs. */
  async sweep(kept: ReadonlySet<string>): Promise<void> {
    for (const hash of this.freed) {
      for (let i = 0; !kept.has(hash) && i < PARTS_MAX; i++) {
        if (!(await this.store.delete(TABLE, `${hash}/${i}`))) break;
      }
      this.freed.delete(hash);
    }
  }

  private async fetch(hash: string): Promise<Buffer | undefined> {
    const contents: Buffer[] = [];
    for (let i = 0, parts = 1; i < parts; i++) {
      const part = await this.store.get<unknown>(TABLE, `${hash}/${i}`);
      if (!isPart(part)) return undefined;
      contents.push(Buffer.from(part.base64, 'base64'));
      parts = part.parts;
    }
    return Buffer.concat(contents);
  }
}

function partsOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / BLOCKS.partBytes));
}

const PARTS_MAX = partsOf(BLOCKS.sharedMaxBytes);

function isPart(value: unknown): value is Part {
  if (typeof value !== 'object' || value === null) return false;
  const { parts, base64 } = value as Partial<Part>;
  const isCount = Number.isInteger(parts) && parts! <= PARTS_MAX;
  // Four characters stand for three bytes.
  return isCount && typeof base64 === 'string' && base64.length <= 4 * Math.ceil(BLOCKS.partBytes / 3);
}
