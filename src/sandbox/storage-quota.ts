/**
 * What the state directory holds on behalf of callers, bundles, layers of images and archives on their way, against the
 * most that it may. A layer's size lies in a file beside it, so that nobody walks through its files again.
 */

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NemoError } from '../errors.js';
import { formatBytes } from '../invoke/quantity.js';
import { STORAGE } from '../tunables.js';

export interface StorageQuotaOptions {
  stateDir: string;
  maxBytes?: number;
}

/** Ending of the file beside a layer that says how many bytes it takes. */
export const SIZE_ENDING = '.bytes';

export class StorageQuota {
  readonly bundleDir: string;
  readonly imageDir: string;
  readonly uploadDir: string;
  readonly maxBytes: number;

  constructor({ stateDir, maxBytes = STORAGE.maxBytes }: StorageQuotaOptions) {
    this.bundleDir = join(stateDir, 'bundles');
    this.imageDir = join(stateDir, 'images');
    this.uploadDir = join(stateDir, 'uploads');
    this.maxBytes = maxBytes;
  }

  async usedBytes(): Promise<number> {
    let bytes = 0;
    for (const directory of [this.bundleDir, this.uploadDir]) {
      for (const name of await names(directory)) {
        bytes += await stat(join(directory, name)).then(
          ({ size }) => size,
          () => 0,
        );
      }
    }
    for (const name of await names(this.imageDir)) {
      if (!name.endsWith(SIZE_ENDING)) continue;
      const text = await readFile(join(this.imageDir, name), 'utf8').catch(() => '0');
      bytes += Number.parseInt(text, 10) || 0;
    }
    return bytes;
  }

  /** What may still be stored. */
  async room(): Promise<number> {
    return Math.max(0, this.maxBytes - (await this.usedBytes()));
  }

  /** STORAGE_FULL without room for that much more. */
  async require(bytes: number, what: string): Promise<void> {
    const room = await this.room();
    if (bytes <= room) return;
    throw new NemoError(
      'STORAGE_FULL',
      `${what} takes ${formatBytes(bytes)}, and the store has room for ${formatBytes(room)}`,
      { hint: 'remove functions that nobody needs, or give it more by storage.max in the configuration' },
    );
  }
}

function names(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
