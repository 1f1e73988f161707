/**
 * Bundles on disk, named by the sha256 of their content. A file under its final name is always complete: it is
 * written beside, flushed, renamed, and its directory flushed, so a kill at any point leaves at most a `.tmp`.
 */

import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StorageQuota } from '../host/storage-quota.js';
import { storageFault } from '../model/storage-fault.js';
import type { BlockRef, BlockSource } from './block-source.js';

const BUNDLE = /^[0-9a-f]{64}\.[a-z0-9]{1,8}$/;
const TEMPORARY = /\.tmp$/;

export interface NewBundle extends Omit<BlockRef, 'hash'> {
  content: Buffer;
}

export interface Written {
  /** Of each file, in order. */
  hashes: string[];
  /** Removes what was not there before. */
  undo(): Promise<void>;
}

export class BundleFiles implements BlockSource {
  /** Without `quota` only the disk bounds it. */
  constructor(
    readonly directory: string,
    private readonly quota?: StorageQuota,
  ) {}

  path(hash: string, ending: string): string {
    return join(this.directory, `${hash}.${ending}`);
  }

  /** All of `files` lie durably under `path(hash, ending)` then, or none of those that were not there before. */
  async writeAll(files: readonly NewBundle[]): Promise<Written> {
    const made: string[] = [];
    const undo = async (): Promise<void> => {
      for (const path of made) await rm(path, { force: true });
    };
    try {
      await mkdir(this.directory, { recursive: true, mode: 0o750 });
      const hashes: string[] = [];
      const missing: Array<{ path: string; content: Buffer }> = [];
      for (const { content, ...block } of files) {
        const hash = sha256(content);
        hashes.push(hash);
        if (!(await this.ensure({ hash, ...block })))
          missing.push({ path: this.path(hash, block.ending), content });
      }
      if (missing.length > 0) {
        const bytes = missing.map(({ content }) => content.length);
        await this.quota?.require(bytes, 'what is deployed');
        for (const { path, content } of missing) {
          await writeAndRename(path, content);
          made.push(path);
        }
        await syncDirectory(this.directory);
      }
      return { hashes, undo };
    } catch (cause) {
      await undo();
      const hint = 'check that the directory is writable';
      throw storageFault(`cannot write a bundle into ${this.directory}`, cause, hint);
    }
  }

  async ensure({ hash, ending }: BlockRef): Promise<boolean> {
    try {
      return sha256(await readFile(this.path(hash, ending))) === hash;
    } catch {
      return false;
    }
  }

  /** Removes every bundle and leftover that is not in `kept`; leaves files of others alone. */
  async sweep(kept: ReadonlySet<string>): Promise<void> {
    const names = await readdir(this.directory).catch(() => [] as string[]);
    for (const name of names) {
      const unused = BUNDLE.test(name) && !kept.has(name.slice(0, 64));
      if (unused || TEMPORARY.test(name)) await rm(join(this.directory, name), { force: true });
    }
  }
}

export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

async function writeAndRename(path: string, content: Buffer): Promise<void> {
  const temporary = `${path.replace(/\.[^.]*$/, '')}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    await writeDurably(temporary, content);
    await rename(temporary, path);
  } catch (thrown) {
    // What was written of it would keep a full disk full.
    await rm(temporary, { force: true });
    throw thrown;
  }
}

async function writeDurably(path: string, content: Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o640);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
