/**
 * Ending everything in a group. A signal to each listed pid loses against a fork storm, whose children appear after
 * the list was read; so the group is frozen first (v1) or killed by the kernel in one go (v2), again and again
 * until nobody is left.
 */

import { readdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { NemoError } from '../../model/errors.js';
import { CGROUP } from '../../tunables/index.js';
import { setScheduling } from '../sched.js';
import { errnoOf, membersOf, removeTree } from './files.js';

export interface KillSteps {
  /** One attempt: SIGKILL for all that are members now, so that they can die (not left frozen). */
  strike(): Promise<void>;
  /** Directories of the group, one a hierarchy. */
  directories: readonly string[];
  /** Called once, when dying takes long: opens cores that the members may not use otherwise. */
  widen(): void;
}

/** Strikes until no member is left. Throws SYSCALL if some are still there after `CGROUP.killTimeoutMs`. */
export async function killUntilEmpty(steps: KillSteps): Promise<void> {
  const startMs = performance.now();
  const deadline = startMs + CGROUP.killTimeoutMs;
  let hurried = false;
  for (let waitMs: number = CGROUP.pollMinMs; ; waitMs = Math.min(waitMs * 2, CGROUP.pollMaxMs)) {
    const members = allMembers(steps.directories);
    if (members.size === 0) return;
    if (!hurried && performance.now() - startMs > CGROUP.killPatienceMs) {
      hurried = true;
      steps.widen();
      for (const pid of members) hurry(pid);
    }
    await steps.strike();
    const left = allMembers(steps.directories);
    if (left.size === 0) return;
    if (performance.now() > deadline) throw stuck(steps.directories[0] ?? '', left);
    await pause(waitMs);
  }
}

/**
 * Dying is work, and a SIGKILLed thread at SCHED_IDLE beside a busy NF gets no time for it: its memory and its place
 * would stay taken for seconds. At default scheduling it gets its share, on another core if there is one.
 */
function hurry(pid: number): void {
  try {
    for (const tid of readdirSync(`/proc/${pid}/task`))
      setScheduling(Number(tid), { policy: 'other', nice: 0 });
  } catch {
    // It is gone, which is what was wanted.
  }
}

/** Removes the directories; the kernel may hold an emptied group busy for a moment. Throws SYSCALL on timeout. */
export async function removeUntilGone(directories: readonly string[]): Promise<void> {
  const deadline = performance.now() + CGROUP.killTimeoutMs;
  for (const directory of directories) {
    for (let waitMs: number = CGROUP.pollMinMs; !removeTree(directory); ) {
      if (performance.now() > deadline) throw stuck(directory, membersOf(directory));
      await pause(waitMs);
      waitMs = Math.min(waitMs * 2, CGROUP.pollMaxMs);
    }
  }
}

export function allMembers(directories: readonly string[]): Set<number> {
  const pids = new Set<number>();
  for (const directory of directories) membersOf(directory, pids);
  return pids;
}

export function signalAll(pids: Iterable<number>): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (thrown) {
      if (errnoOf(thrown) !== 'ESRCH') throw thrown;
    }
  }
}

function stuck(directory: string, pids: Set<number>): NemoError {
  return new NemoError('SYSCALL', `rmdir failed on ${directory}: EBUSY, ${pids.size} processes do not die`, {
    details: {
      syscall: 'rmdir',
      errno: 'EBUSY',
      object: directory,
      pids: [...pids].slice(0, 20).join(','),
    },
    hint: 'A process that survives SIGKILL is stuck in the kernel: see its /proc/<pid>/stack and the kernel log.',
  });
}
