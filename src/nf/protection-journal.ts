/**
 * What the scheduling of NF threads was before NEMO changed it, on disk before the change: whatever happens to the
 * agent, somebody can put it back. A thread is its tid AND start time, so a recycled tid is never touched.
 *
 * JSON, but one entry a line with its keys in this order: the guardian reads it with `sed`.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { startTicks } from '../linux/process.js';
import { type NewScheduling, setScheduling } from '../linux/sched.js';
import { NemoError } from '../model/errors.js';

export interface JournalEntry {
  tid: number;
  startTicks: number;
  policy: NewScheduling['policy'];
  priority: number;
  nice: number;
  resetOnFork: boolean;
}

export function journalPath(stateDir: string): string {
  return join(stateDir, 'protected.json');
}

/** Atomic. Without entries there is no file. */
export function writeJournal(path: string, entries: readonly JournalEntry[]): void {
  if (entries.length === 0) {
    rmSync(path, { force: true });
    return;
  }
  const lines = entries.map(({ tid, startTicks, policy, priority, nice, resetOnFork }) =>
    JSON.stringify({ tid, startTicks, policy, priority, nice, resetOnFork }),
  );
  mkdirSync(dirname(path), { recursive: true });
  const unfinished = `${path}.new`;
  // The guardian acts for its own agent only: it must not undo what the next one did.
  writeFileSync(unfinished, `{"agent":${process.pid},"threads":[\n${lines.join(',\n')}\n]}\n`, {
    mode: 0o600,
  });
  renameSync(unfinished, path);
}

/**
 * For a journal that becomes shorter. On a full disk it cannot: what has been put back stands there until the next time,
 * which hurts nobody.
 */
export function ifItCan(write: () => void): void {
  try {
    write();
  } catch {
    // See above.
  }
}

/**
 * Puts back what a dead agent left changed; returns the number of threads. Call it at the start, before protecting.
 * Throws STORE for a file that is not a journal.
 */
export function restoreLeftovers(path: string): number {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw new NemoError('STORE', `${path} cannot be read`, { cause });
  }
  const restored = parseJournal(text, path).filter(restoreThread).length;
  rmSync(path, { force: true });
  return restored;
}

function parseJournal(text: string, path: string): JournalEntry[] {
  try {
    const { threads } = JSON.parse(text) as { threads: JournalEntry[] };
    if (threads.every(isEntry)) return threads;
  } catch {
    // The same complaint as for well-formed JSON of another kind.
  }
  throw new NemoError('STORE', `${path} is not a journal of NF scheduling`, {
    hint: 'look at the scheduling of your NFs with `chrt -p`, then remove the file',
  });
}

function isEntry(entry: JournalEntry): boolean {
  const { tid, startTicks, policy, priority, nice } = entry;
  const policies = ['other', 'fifo', 'rr', 'batch', 'idle'];
  return [tid, startTicks, priority, nice].every(Number.isInteger) && tid > 0 && policies.includes(policy);
}

/** False if the thread is gone. */
export function restoreThread(entry: JournalEntry): boolean {
  if (startTicks(entry.tid) !== entry.startTicks) return false;
  try {
    setScheduling(entry.tid, entry);
    return true;
  } catch (thrown) {
    if (thrown instanceof NemoError && thrown.details?.errno === 'ESRCH') return false;
    throw thrown;
  }
}
