/**
 * Packages on this host as files, one copy of each while a sandbox has it: a sandbox gets links to them in its own
 * directory, so it sees those of its function and no others. Nobody but root can write to them, whatever the mount.
 */

import { linkSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { StoredPackage } from '../../engine.js';
import { openPackage, PACKAGES_DIRECTORY } from '../../packages/pack.js';
import { makeOpenDirectory } from './runtime.js';

interface Shelved {
  /** Names of its files, once they are written. */
  files: Promise<string[]>;
  /** Ids of the sandboxes that have it. */
  users: Set<string>;
}

export class PackageShelf {
  private readonly shelved = new Map<string, Shelved>();
  /** A package is not written while its old files are being removed. */
  private removals: Promise<unknown> = Promise.resolve();

  constructor(private readonly directory: string) {}

  /** Puts what is not there yet below the directory that a sandbox sees as its function's. */
  async place(
    packages: readonly StoredPackage[],
    sandboxId: string,
    functionDirectory: string,
  ): Promise<void> {
    const placing = packages.map(async (one) => {
      const shelved = this.shelve(one);
      if (shelved.users.has(sandboxId)) return;
      shelved.users.add(sandboxId);
      const files = await shelved.files;
      // It ended meanwhile: its directory must not come back.
      if (!shelved.users.has(sandboxId)) return;
      // A few microseconds each: sooner done than handed to a thread.
      const inside = join(functionDirectory, basename(PACKAGES_DIRECTORY), one.hash);
      for (const folder of [dirname(inside), inside]) makeOpenDirectory(folder);
      for (const file of files) linkSync(join(this.directory, one.hash, file), join(inside, file));
    });
    await Promise.all(placing);
  }

  /** A sandbox is gone. */
  release(sandboxId: string): void {
    for (const [hash, { users, files }] of this.shelved) {
      if (!users.delete(sandboxId) || users.size > 0) continue;
      this.shelved.delete(hash);
      this.removals = Promise.allSettled([this.removals, files]).then(() =>
        rm(join(this.directory, hash), { recursive: true, force: true }).catch(() => {}),
      );
    }
  }

  private shelve(one: StoredPackage): Shelved {
    const known = this.shelved.get(one.hash);
    if (known !== undefined) return known;
    const shelved = { files: this.write(one), users: new Set<string>() };
    this.shelved.set(one.hash, shelved);
    shelved.files.catch(() => this.shelved.delete(one.hash));
    return shelved;
  }

  private async write({ hash, path }: StoredPackage): Promise<string[]> {
    await this.removals;
    const { files } = openPackage(await readFile(path), hash);
    const directory = join(this.directory, hash);
    await mkdir(directory, { recursive: true });
    const writing = Object.entries(files).map(async ([file, text]) => {
      await writeFile(join(directory, file), text);
      await chmod(join(directory, file), 0o644);
    });
    await Promise.all(writing);
    return Object.keys(files);
  }
}
