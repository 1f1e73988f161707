/**
 * Locks on files are memory of the kernel that it charges to nobody, and long lists that it walks without giving way.
 * It has no limit for them any more, and refusing them would break databases, so who holds very many is found and ended.
 */

import type { Cgroup } from '../linux/cgroup/driver.js';
import { processesOf } from '../linux/cgroup/files.js';
import { countLocks, countOpenLocks } from '../linux/lock-counts.js';
import { NemoError } from '../model/errors.js';
import { LOCKS } from '../tunables/index.js';
import { Rest } from './rest.js';

export class LockWatch<T extends { readonly cgroup: Cgroup }> {
  private checking = false;
  /** From looking through everybody's files. */
  private readonly rest = new Rest(LOCKS.restTimes);

  constructor(private readonly readMaxBytes: number = LOCKS.readMaxBytes) {}

  /** Those of `sandboxes` that hold more than they may, with how many were seen. None while an earlier look lasts. */
  async above(sandboxes: Iterable<T>): Promise<Array<{ sandbox: T; locks: number }>> {
    if (this.checking) return [];
    this.checking = true;
    try {
      const { total, orphans, complete, byPid } = await countLocks(this.readMaxBytes);
      if (complete && total <= LOCKS.perSandboxMax) return [];
      // Who took them is gone, or stands behind others: whose files they are takes longer to find.
      const fromMs = performance.now();
      const hidden = this.rest.isOver(fromMs) && (!complete || orphans > LOCKS.perSandboxMax);
      const found = [];
      for (const sandbox of [...sandboxes]) {
        const pids = processesOf(sandbox.cgroup);
        let locks = 0;
        for (const pid of pids) locks += byPid.get(pid) ?? 0;
        if (hidden && locks <= LOCKS.perSandboxMax) locks = await countOpenLocks(pids, LOCKS.perSandboxMax);
        if (locks > LOCKS.perSandboxMax) found.push({ sandbox, locks });
      }
      if (hidden) this.rest.begin(fromMs);
      return found;
    } finally {
      this.checking = false;
    }
  }
}

export function tooManyLocks(functionName: string): NemoError {
  return new NemoError(
    'FUNCTION_OOM',
    `${functionName} held more than ${LOCKS.perSandboxMax} locks on files`,
    {
      hint: 'lock a file as a whole, or fewer parts of it at a time',
    },
  );
}
