/**
 * What NFs were asked to do, and how it was before, on disk before it is changed. Records of a closed set of kinds: the
 * guardian and the next agent run one fixed command a kind, with a path and a number, so nothing that stands here becomes a
 * command of its own.
 *
 * JSON, but one record a line with its keys in this order: the guardian reads it with `sed`, by the same grammar.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { NemoError } from '../model/errors.js';
import { NF } from '../tunables/index.js';

export interface OvsMaxSleep {
  kind: 'ovs-pmd-maxsleep';
  /** Path of the database's socket. */
  database: string;
  /** Microseconds; null: it was not set. */
  oldValue: number | null;
}

const RECORD =
  /^\{"kind":"ovs-pmd-maxsleep","database":"((?:\/[A-Za-z0-9_.-]+)+)","oldValue":(null|\d{1,7})\},?$/;
/** The same for `sed`, which prints path and value. */
export const RECORD_SED =
  's/^{"kind":"ovs-pmd-maxsleep","database":"\\(\\/[A-Za-z0-9_.\\/-]*\\)","oldValue":\\([0-9a-z]*\\)},\\{0,1\\}$/\\1 \\2/p';

export function settingsPath(stateDir: string): string {
  return join(stateDir, 'settings.json');
}

/** Atomic. Without records there is no file. The guardian acts for its own agent only. */
export function writeSettings(path: string, records: readonly OvsMaxSleep[]): void {
  if (records.length === 0) {
    rmSync(path, { force: true });
    return;
  }
  const lines = records.map(({ kind, database, oldValue }) => JSON.stringify({ kind, database, oldValue }));
  mkdirSync(dirname(path), { recursive: true });
  const unfinished = `${path}.new`;
  writeFileSync(unfinished, `{"agent":${process.pid},"settings":[\n${lines.join(',\n')}\n]}\n`, {
    mode: 0o600,
  });
  renameSync(unfinished, path);
}

/** What a dead agent left; empty without a file. */
export function readSettings(path: string): OvsMaxSleep[] {
  try {
    return parseSettings(readFileSync(path, 'utf8'));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new NemoError('STORE', `${path} cannot be read: ${(thrown as Error).message}`, {
      hint: 'it says what NFs were asked to do: look at it, then move it away',
      cause: thrown,
    });
  }
}

/** Every record in the text; what is none is left out. */
export function parseSettings(text: string): OvsMaxSleep[] {
  return text.split('\n').flatMap((line) => {
    const [, database, oldValue] = RECORD.exec(line) ?? [];
    if (database === undefined) return [];
    return [{ kind: 'ovs-pmd-maxsleep', database, oldValue: oldValue === 'null' ? null : Number(oldValue) }];
  });
}

/** Arguments of ovs-vsctl that put a record's old value back; they do not wait until Open vSwitch has followed. */
export function undoArgs({ database, oldValue }: OvsMaxSleep): string[] {
  const undo =
    oldValue === null
      ? ['remove', 'Open_vSwitch', '.', 'other_config', 'pmd-maxsleep']
      : ['set', 'Open_vSwitch', '.', `other_config:pmd-maxsleep=${oldValue}`];
  return ['--no-wait', ...vsctlOptions(database), ...undo];
}

/** A database that does not answer must not hold the agent up. */
export function vsctlOptions(database: string): string[] {
  return [`--timeout=${NF.askTimeoutS}`, `--db=unix:${database}`];
}
