/**
 * Packages on this host as files, one copy of each while a sandbox has it: a sandbox gets links to them in its own
 * directory, so it sees those of its function and no others. Nobody but root can write to them, whatever the mount, or
 * list what others have. What all of it takes of the run directory is bounded.
 */

import { linkSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeOpenDirectory } from '../confinement/runtime.js';
import { NemoError } from '../model/errors.js';
import type { StoredPackage } from '../model/package.js';
import { PACKAGES } from '../tunables/index.js';
import { openPackage, PACKAGES_DIRECTORY } from './pack.js';

interface Shelved {
  /** Names of its files, once they are written. */
  files: Promise<string[]>;
  /** Ids of the sandboxes that have it. */
  users: Set<string>;
  /** Of each user, and of the package itself; 0 until it is known. */
  entries: number;
  bytes: number;
}

export class PackageShelf {
  private readonly shelved = new Map<string, Shelved>();
  /** A package is not written while its old files are being removed. */
  private removals: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly directory: string,
    private readonly limits: { shelfEntriesMax: number; shelfMaxBytes: number } = PACKAGES,
  ) {}

  /** Puts what is not there yet below the directory that a sandbox sees as its function's. NO_CAPACITY without room for it. */
  async place(
    packages: readonly StoredPackage[],
    sandboxId: string,
    functionDirectory: string,
  ): Promise<void> {
    const placing = packages.map(async (one) => {
      const shelved = this.shelve(one);
      if (shelved.users.has(sandboxId)) return;
      shelved.users.add(sandboxId);
      try {
        const files = await shelved.files;
        this.requireRoom();
        const inside = join(functionDirectory, basename(PACKAGES_DIRECTORY), one.hash);
        for (const [i, file] of files.entries()) {
          // A few microseconds each: sooner done than handed to a thread.
          if (i > 0 && i % PACKAGES.filesAtOnce === 0) await new Promise(setImmediate);
          // It ended meanwhile: its directory must not come back.
          if (!shelved.users.has(sandboxId)) return;
          if (i === 0) for (const folder of [dirname(inside), inside]) makeOpenDirectory(folder);
          linkSync(join(this.directory, one.hash, file), join(inside, file));
        }
      } catch (thrown) {
        this.leave(one.hash, sandboxId);
        throw thrown;
      }
    });
    // Not before all have come to an end: a sandbox that failed must not get more.
    const failed = (await Promise.allSettled(placing)).find(({ status }) => status === 'rejected');
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
  }

  /** A sandbox is gone. */
  release(sandboxId: string): void {
    for (const hash of [...this.shelved.keys()]) this.leave(hash, sandboxId);
  }

  private leave(hash: string, sandboxId: string): void {
    const shelved = this.shelved.get(hash);
    if (shelved?.users.delete(sandboxId) !== true || shelved.users.size > 0) return;
    this.shelved.delete(hash);
    this.removals = Promise.allSettled([this.removals, shelved.files]).then(() =>
      rm(join(this.directory, hash), { recursive: true, force: true }).catch(() => {}),
    );
  }

  private shelve(one: StoredPackage): Shelved {
    const known = this.shelved.get(one.hash);
    if (known !== undefined) return known;
    const shelved: Shelved = { files: Promise.resolve([]), users: new Set(), entries: 0, bytes: 0 };
    shelved.files = this.write(one, shelved);
    // Whoever waits for it leaves it, and with the last its files go.
    shelved.files.catch(() => {});
    this.shelved.set(one.hash, shelved);
    return shelved;
  }

  private async write({ hash, path }: StoredPackage, shelved: Shelved): Promise<string[]> {
    await this.removals;
    const { files } = openPackage(await readFile(path), hash);
    const named = Object.entries(files);
    shelved.entries = named.length;
    shelved.bytes = named.reduce((sum, [, text]) => sum + Buffer.byteLength(text), 0);
    this.requireRoom();
    const directory = join(this.directory, hash);
    await mkdir(this.directory, { recursive: true });
    await chmod(this.directory, 0o700);
    await mkdir(directory, { recursive: true });
    for (let at = 0; at < named.length; at += PACKAGES.filesAtOnce) {
      const writing = named.slice(at, at + PACKAGES.filesAtOnce).map(async ([file, text]) => {
        await writeFile(join(directory, file), text);
        await chmod(join(directory, file), 0o644);
      });
      const failed = (await Promise.allSettled(writing)).find(({ status }) => status === 'rejected');
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    }
    return named.map(([file]) => file);
  }

  /** For what is there, with what is being put there. */
  private requireRoom(): void {
    let [entries, bytes] = [0, 0];
    for (const one of this.shelved.values()) {
      entries += one.entries * (1 + one.users.size);
      bytes += one.bytes;
    }
    const { shelfEntriesMax, shelfMaxBytes } = this.limits;
    if (entries <= shelfEntriesMax && bytes <= shelfMaxBytes) return;
    throw new NemoError(
      'NO_CAPACITY',
      'the packages of the running sandboxes take all room that there is for them',
      {
        hint: 'deploy functions with fewer or smaller packages, or with --bundle',
      },
    );
  }
}
