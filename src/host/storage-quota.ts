/**
 * What the state directory holds on behalf of callers, bundles, layers of images and archives on their way, against the
 * most that it may, and against what its disk has left for others. A layer's size lies in a file beside it, so that nobody
 * walks through its files again; and the files are walked through only for an import or before something is refused.
 */

import { statfsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NemoError } from '../model/errors.js';
import { formatBytes } from '../model/quantity.js';
import { OCI, STORAGE } from '../tunables/index.js';

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
  /** Removes what is not needed. */
  makeRoom: () => Promise<void> = async () => {};
  /** Bytes found at the last walk, and all that were granted since: never less than what is stored. */
  private usedBytes = Number.POSITIVE_INFINITY;
  private grantedBytes = 0;
  private walk: Promise<void> | undefined;

  constructor({ stateDir, maxBytes = STORAGE.maxBytes }: StorageQuotaOptions) {
    this.bundleDir = join(stateDir, 'bundles');
    this.imageDir = join(stateDir, 'images');
    this.uploadDir = join(stateDir, 'uploads');
    this.maxBytes = maxBytes;
  }

  /** What may still be stored. */
  async room(): Promise<number> {
    await this.measure();
    if (this.left() < OCI.imageMaxBytes) {
      await this.makeRoom();
      await this.measure();
    }
    return Math.max(0, this.left());
  }

  /** Reserves room for files of so many bytes. Throws STORAGE_FULL if there is none. */
  async require(bytes: readonly number[], what: string): Promise<void> {
    const taken = bytes.reduce((sum, one) => sum + counted(one), 0);
    if (this.left() < taken) await this.measure();
    if (this.left() < taken) {
      await this.makeRoom();
      await this.measure();
    }
    if (diskIsFull(dirname(this.bundleDir)))
      throw full(
        `${what} cannot be stored: the disk is full`,
        'make room on the disk of the state directory',
      );
    if (this.left() < taken)
      throw full(
        `${what} takes ${formatBytes(taken)}, and the store has room for ${formatBytes(Math.max(0, this.left()))}`,
        'remove functions that nobody needs, or give it more by storage.max in the configuration',
      );
    this.usedBytes += taken;
    this.grantedBytes += taken;
  }

  private left(): number {
    return this.maxBytes - this.usedBytes;
  }

  /** One walk at a time. What is granted meanwhile may be counted twice, until the next walk. */
  private measure(): Promise<void> {
    this.walk ??= (async () => {
      const before = this.grantedBytes;
      const found = await this.storedBytes();
      this.usedBytes = found + this.grantedBytes - before;
    })().finally(() => {
      this.walk = undefined;
    });
    return this.walk;
  }

  private async storedBytes(): Promise<number> {
    let bytes = 0;
    for (const directory of [this.bundleDir, this.uploadDir]) {
      for (const name of await names(directory)) {
        bytes += await stat(join(directory, name)).then(
          ({ size }) => counted(size),
          () => 0,
        );
      }
    }
    for (const name of await names(this.imageDir)) {
      if (!name.endsWith(SIZE_ENDING)) continue;
      const text = await readFile(join(this.imageDir, name), 'utf8').catch(() => '0');
      bytes += counted(Number.parseInt(text, 10) || 0);
    }
    return bytes;
  }
}

/** Whether what is left of its disk is reserved for other programs. */
export function diskIsFull(directory: string): boolean {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize < STORAGE.diskFreeMinBytes || inodesLeft(directory) <= 0;
}

/** How many more files its disk can hold. Some file systems do not count them. */
export function inodesLeft(directory: string): number {
  const { files, ffree } = statfsSync(directory);
  return files === 0 ? Number.POSITIVE_INFINITY : ffree - STORAGE.inodesFreeMin;
}

function counted(bytes: number): number {
  return Math.max(bytes, STORAGE.fileMinBytes);
}

function full(message: string, hint: string): NemoError {
  return new NemoError('STORAGE_FULL', message, { hint });
}

function names(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
