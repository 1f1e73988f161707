/**
 * What `memory.min` of cgroups was before NEMO raised it, and what it is since: whatever happens to the agent, somebody can
 * put it back. A line a group, "path before now", after one that names the agent; the guardian reads it with `sed`, by the
 * same grammar.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export interface MemoryEntry {
  /** Path of its directory. */
  group: string;
  /** Bytes. */
  before: number;
  now: number;
}

/** Beside the journal of scheduling; the guardian finds it by this name. */
export const MEMORY_MIN = 'memory-min';
/** Names as systemd and container runtimes give them. */
export const GROUP_PATH = /^\/sys\/fs\/cgroup(\/[A-Za-z0-9_.:@\\-]+)*$/;
const LINE = /^(\S+) (\d{1,16}) (\d{1,16})$/;
/** For `sed`, which prints path and values. */
export const MEMORY_SED =
  '/^\\/sys\\/fs\\/cgroup\\(\\/[A-Za-z0-9_.:@\\\\-]\\{1,\\}\\)* [0-9]\\{1,16\\} [0-9]\\{1,16\\}$/p';

/** Atomic. Without entries there is no file. */
export function writeMemoryEntries(path: string, entries: readonly MemoryEntry[]): void {
  if (entries.length === 0) {
    rmSync(path, { force: true });
    return;
  }
  const lines = entries.map(({ group, before, now }) => `${group} ${before} ${now}`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, `agent ${process.pid}\n${lines.join('\n')}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** What a dead agent left; lines that are not entries are left out. */
export function readMemoryEntries(path: string): MemoryEntry[] {
  try {
    return parseMemoryEntries(readFileSync(path, 'latin1'));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw thrown;
  }
}

export function parseMemoryEntries(text: string): MemoryEntry[] {
  return text.split('\n').flatMap((line) => {
    const [, group = '', before, now] = LINE.exec(line) ?? [];
    if (!GROUP_PATH.test(group) || group.split('/').some((name) => name === '.' || name === '..')) return [];
    return [{ group, before: Number(before), now: Number(now) }];
  });
}
