/**
 * A snapshot as a folder, which appears whole or not at all:
 *
 *   <key>/memory           the machine's memory
 *         devices          the state of its devices
 *         meta.json        what made it: one from anything else is not used
 *         working-set.json the pages that a start needs, once one was seen
 */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { copyWithHoles } from './memory-file.js';
import { UNFINISHED } from './stores.js';
import type { WorkingSet } from './working-set.js';

const SCHEMA = 'nemo.snapshot/1';
const META = 'meta.json';
const WORKING_SET = 'working-set.json';
const FILE_MODE = 0o600;

/** Everything that has to be the same for a snapshot to fit, by name. */
export type MadeBy = Readonly<Record<string, string | number>>;

export interface Meta {
  schema: string;
  madeBy: MadeBy;
  savedMs: number;
}

/** Undefined: it is damaged, or something else. */
export function readMeta(folder: string): Meta | undefined {
  const meta = readJson<Meta>(join(folder, META));
  const whole = ['memory', 'devices'].every((name) => existsSync(join(folder, name)));
  return meta?.schema === SCHEMA && whole ? meta : undefined;
}

export function writeMeta(folder: string, madeBy: MadeBy, savedMs: number): Meta {
  const meta = { schema: SCHEMA, madeBy, savedMs };
  writeFileSync(join(folder, META), JSON.stringify(meta), { mode: FILE_MODE });
  return meta;
}

export function readWorkingSet(folder: string): WorkingSet | undefined {
  return readJson<WorkingSet>(join(folder, WORKING_SET));
}

export function writeWorkingSet(folder: string, pages: WorkingSet): void {
  writeFileSync(join(folder, WORKING_SET), JSON.stringify(pages), { mode: FILE_MODE });
}

/** What its memory takes; its zeros take nothing. */
export function bytesOnDisk(folder: string): number {
  return statSync(join(folder, 'memory')).blocks * 512;
}

let unfinished = 0;

/** Fills a folder beside `place` and then puts it there, in place of what is there. Leaves nothing if `fill` rejects. */
export async function putInPlace(
  directory: string,
  key: string,
  fill: (folder: string) => Promise<boolean>,
): Promise<string | undefined> {
  // A name of its own: a snapshot may be copied while it is removed and made again.
  const folder = join(directory, `${UNFINISHED}${++unfinished}-${key}`);
  const place = join(directory, key);
  try {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { mode: 0o700 });
    if (!(await fill(folder))) return undefined;
    rmSync(place, { recursive: true, force: true });
    renameSync(folder, place);
    return place;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function copySnapshot(from: string, to: string): Promise<void> {
  const memory = await open(join(to, 'memory'), 'wx', FILE_MODE);
  try {
    await copyWithHoles(join(from, 'memory'), memory.fd);
  } finally {
    await memory.close();
  }
  for (const name of ['devices', META, WORKING_SET]) {
    if (existsSync(join(from, name))) await copyFile(join(from, name), join(to, name));
  }
}

/** A message about the first thing that differs. */
export function difference(was: MadeBy, is: MadeBy): string | undefined {
  for (const name of new Set([...Object.keys(was), ...Object.keys(is)]))
    if (was[name] !== is[name]) return `${name} (${was[name] ?? 'none'}, now ${is[name] ?? 'none'})`;
  return undefined;
}

function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}
