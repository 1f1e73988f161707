/**
 * Locks on files are memory of the kernel that it charges to nobody, and long lists that it walks without giving way.
 * It has no limit for them any more, and refusing them would break databases, so who holds very many is found and ended.
 */

import { dirname } from 'node:path';
import { NemoError } from '../errors.js';
import type { Cgroup } from '../linux/cgroup/driver.js';
import { membersOf } from '../linux/cgroup/files.js';
import { countLocks } from '../linux/lock-counts.js';
import { LOCKS } from '../tunables.js';

export class LockWatch<T extends { readonly cgroup: Cgroup }> {
  private looking = false;

  /** Those of `sandboxes` that hold more than they may, with how many were seen. None while an earlier look lasts. */
  async above(sandboxes: Iterable<T>): Promise<Array<{ sandbox: T; locks: number }>> {
    if (this.looking) return [];
    this.looking = true;
    try {
      const { total, byPid } = await countLocks(LOCKS.readMaxBytes);
      if (total <= LOCKS.perSandboxMax) return [];
      return [...sandboxes]
        .map((sandbox) => ({ sandbox, locks: heldIn(sandbox.cgroup, byPid) }))
        .filter(({ locks }) => locks > LOCKS.perSandboxMax);
    } finally {
      this.looking = false;
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

function heldIn({ joinPaths }: Cgroup, byPid: ReadonlyMap<number, number>): number {
  let locks = 0;
  for (const pid of membersOf(dirname(joinPaths[0]!))) locks += byPid.get(pid) ?? 0;
  return locks;
}
