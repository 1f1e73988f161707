/**
 * How many locks on files each process holds, from /proc/locks (proc_locks(5)). Every read of it walks the list from its
 * beginning, so no more than a bounded part is looked at: who holds very many fills that part.
 */

import { open } from 'node:fs/promises';

/** `1: POSIX  ADVISORY  WRITE 1234 00:2a:17 0 EOF`; one that waits has `->` before its type. Locks of open files have -1. */
const HELD = /^\d+: (?:POSIX|FLOCK|LEASE)\s+\S+\s+\S+\s+(\d+) /;
/** What the kernel hands out in one read at most, whatever it is asked for. */
const PART_BYTES = 4096;

export interface LockCounts {
  total: number;
  /** By process id, as this process's own namespace numbers them. */
  byPid: ReadonlyMap<number, number>;
}

/** Reads at most about so many bytes. Rejects as the file system does, where there is no /proc. */
export async function countLocks(maxBytes: number): Promise<LockCounts> {
  const byPid = new Map<number, number>();
  let total = 0;
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
      if (bytesRead === 0) break;
      bytes += bytesRead;
      const lines = (rest + part.toString('latin1', 0, bytesRead)).split('\n');
      rest = lines.pop()!;
      lines.forEach(count);
    }
  } finally {
    await file.close();
  }
  return { total, byPid };
}
