/**
 * How many locks on files each process holds, from /proc/locks (proc_locks(5)). Every read of it walks the list from its
 * beginning, so no more than a bounded part is looked at: who holds very many fills that part.
 */

import { existsSync } from 'node:fs';
import { open, readdir, readFile, readlink } from 'node:fs/promises';

/** `1: POSIX  ADVISORY  WRITE 1234 00:2a:17 0 EOF`; one that waits has `->` before its type. Locks of open files have -1. */
const HELD = /^\d+: (?:POSIX|FLOCK|LEASE)\s+\S+\s+\S+\s+(\d+) /;
/** What the kernel hands out in one read at most, whatever it is asked for. */
const PART_BYTES = 4096;
const FILES_AT_ONCE = 64;

export interface LockCounts {
  total: number;
  /** Of processes that are gone: a lock stays as long as somebody has its file open. */
  orphans: number;
  /** The list was read to its end. */
  complete: boolean;
  /** By process id, as this process's own namespace numbers them. */
  byPid: ReadonlyMap<number, number>;
}

/** Reads at most about so many bytes. Rejects as the file system does, where there is no /proc. */
export async function countLocks(maxBytes: number): Promise<LockCounts> {
  const byPid = new Map<number, number>();
  let total = 0;
  let complete = false;
  const count = (line: string): void => {
    const pid = HELD.exec(line)?.[1];
    if (pid === undefined) return;
    total++;
    byPid.set(Number(pid), (byPid.get(Number(pid)) ?? 0) + 1);
  };
  const file = await open('/proc/locks');
  try {
    const part = Buffer.alloc(PART_BYTES);
    let rest = '';
    for (let bytes = 0; bytes < maxBytes; ) {
      const { bytesRead } = await file.read(part, 0, part.length, null);
      complete = bytesRead === 0;
      if (complete) break;
      bytes += bytesRead;
      const lines = (rest + part.toString('latin1', 0, bytesRead)).split('\n');
      rest = lines.pop()!;
      lines.forEach(count);
    }
  } finally {
    await file.close();
  }
  let orphans = 0;
  // Of one that nobody has reaped, the executable is gone.
  for (const [pid, locks] of byPid) if (!existsSync(`/proc/${pid}/exe`)) orphans += locks;
  return { total, orphans, complete, byPid };
}

/** Locks of the files that these processes have open, whoever took them; no more than somewhat beyond `enough` are counted. */
export async function countOpenLocks(pids: Iterable<number>, enough: number): Promise<number> {
  let locks = 0;
  for (const pid of pids) {
    const folder = `/proc/${pid}/fdinfo`;
    // It may end meanwhile.
    const fds = await readdir(folder).catch(() => []);
    for (let i = 0; i < fds.length; i += FILES_AT_ONCE) {
      const reads = fds.slice(i, i + FILES_AT_ONCE).map((fd) => locksOf(pid, fd));
      for (const count of await Promise.all(reads)) locks += count;
      if (locks > enough) return locks;
    }
  }
  return locks;
}

/** Of an epoll instance the kernel writes down each file that it watches, which may be tens of thousands: it has no locks. */
async function locksOf(pid: number, fd: string): Promise<number> {
  try {
    if (!(await readlink(`/proc/${pid}/fd/${fd}`)).startsWith('/')) return 0;
    return (await readFile(`/proc/${pid}/fdinfo/${fd}`, 'latin1')).match(/^lock:/gm)?.length ?? 0;
  } catch {
    return 0;
  }
}
