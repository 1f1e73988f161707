/**
 * The store in a directory of this box: LMDB. With lmdb's overlapping sync a `put` promise resolves at commit,
 * which survives kill -9 but not a power cut: `flushed` is what survives both, so that is what we wait for.
 */

import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { closeOnExec } from '../linux/close-on-exec.js';
import { NemoError } from '../model/errors.js';
import { storageFault } from '../model/storage-fault.js';
import { LocalLeases } from './local-leases.js';
import type { Store } from './store.js';
import { Watchers } from './watchers.js';

/** Above every key of a table: U+FFFF stands in no valid text. */
const LAST = '\uffff';

/** Tokens of leases, by name. */
const LEASES = 'leases';

const LOCK_FILE = 'lock.mdb';
/** More than it is long. */
const LOCK_FILE_BYTES = 128 * 1024;

/** With less left on the disk, a commit failed for that: nothing that is stored is as large. */
const ROOM_BYTES = 4 * 1024 * 1024;

/** Opens or makes the store in `directory`. STORE if it cannot. */
export function openEmbeddedStore(directory: string): Store {
  let database: RootDatabase<unknown, [string, string]>;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
    if (!existsSync(join(directory, LOCK_FILE))) requireRoom(directory);
    // Without batches of a turn: their promise is nobody's, and a full disk would reject it and end the agent.
    database = open({ path: directory, noSubdir: false, encoding: 'json', eventTurnBatching: false });
    // LMDB opens its data file so that every program started from now on would have it.
    closeOnExec();
    // They hold what functions have in their environment. The directory is closed to others before they are there.
    for (const file of ['data.mdb', LOCK_FILE]) chmodSync(join(directory, file), 0o640);
  } catch (cause) {
    const hint = 'check that the directory is writable, its disk not full, and that it holds only a store';
    throw storageFault(`cannot open the store in ${directory}`, cause, hint);
  }
  let closed: Promise<void> | undefined;
  const attempt = async <T>(what: string, work: () => T | Promise<T>): Promise<T> => {
    if (closed !== undefined) throw new NemoError('STORE', `cannot ${what}: the store is closed`);
    try {
      return await work();
    } catch (cause) {
      const why = await whyNotCommitted(cause, directory);
      throw storageFault(`cannot ${what} in ${directory}`, why, 'check the disk under the store');
    }
  };
  const watchers = new Watchers();
  const leases = new LocalLeases((name) =>
    database.transaction(() => {
      const token = ((database.get([LEASES, name]) as number | undefined) ?? 0) + 1;
      void database.put([LEASES, name], token);
      return token;
    }),
  );
  return {
    shared: false,
    get: <T>(table: string, key: string) =>
      attempt(`read ${table}/${key}`, () => database.get([table, key]) as T | undefined),
    put: (table, key, value) =>
      attempt(`write ${table}/${key}`, async () => {
        await database.put([table, key], value);
        await database.flushed;
        watchers.changed(table, key);
      }),
    delete: (table, key) =>
      attempt(`delete ${table}/${key}`, async () => {
        const had = await database.transaction(() => {
          const found = database.doesExist([table, key]);
          if (found) void database.remove([table, key]);
          return found;
        });
        await database.flushed;
        if (had) watchers.changed(table, key);
        return had;
      }),
    list: <T>(table: string) =>
      attempt(`list ${table}`, () => {
        const range = database.getRange({ start: [table, ''], end: [table, LAST] });
        return [...range].map(({ key, value }) => ({ key: key[1], value: value as T }));
      }),
    compareAndSet: (table, key, before, next) =>
      attempt(`write ${table}/${key}`, async () => {
        const done = await database.transaction(() => {
          if (JSON.stringify(database.get([table, key])) !== JSON.stringify(before)) return false;
          if (next === undefined) void database.remove([table, key]);
          else void database.put([table, key], next);
          return true;
        });
        await database.flushed;
        if (done) watchers.changed(table, key);
        return done;
      }),
    watch: (table, onChange) => attempt(`watch ${table}`, () => watchers.add(table, onChange)),
    lease: (name, forMs) => attempt(`take the lease ${name}`, () => leases.take(name, forMs)),
    close: () => {
      closed ??= database.flushed.then(() => database.close());
      return closed;
    },
  };
}

/** LMDB maps its lock file: where the disk has no room for it, the kernel ends this process (SIGBUS), and nobody is told why. */
function requireRoom(directory: string): void {
  const probe = join(directory, 'room');
  try {
    writeFileSync(probe, Buffer.alloc(LOCK_FILE_BYTES), { mode: 0o600 });
  } finally {
    rmSync(probe, { force: true });
  }
}

/** LMDB tells a commit's fault aside, and a write that was cut short by a full disk as an error of the disk. */
async function whyNotCommitted(thrown: unknown, directory: string): Promise<unknown> {
  const { commitError } = thrown as { commitError?: Promise<never> };
  const cause = commitError === undefined ? thrown : await commitError.catch((error: unknown) => error);
  const { bavail, bsize } = await statfs(directory);
  if (commitError === undefined || bavail * bsize > ROOM_BYTES) return cause;
  return Object.assign(new Error('no space left on device', { cause }), { code: 'ENOSPC' });
}
