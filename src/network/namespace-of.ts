/**
 * The network namespace that a sandbox has for itself, as a descriptor. A pid is only a number: between a look at it and an
 * open() the process may have ended and an NF may have got the number. So the process's directory below /proc is opened
 * first; it stays that process's for ever, and leads nowhere when the process is gone.
 */

import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Cgroup } from '../linux/cgroup/driver.js';
import { membersOf } from '../linux/cgroup/files.js';

/** The caller closes it. Undefined if every process of the group shares this process's namespace, or none is left. */
export function openNetworkNamespace(cgroup: Cgroup): number | undefined {
  const own = statSync('/proc/self/ns/net').ino;
  const group = dirname(cgroup.joinPaths[0] ?? '');
  for (const pid of membersOf(group)) {
    const fd = openOf(pid, group);
    if (fd === undefined) continue;
    if (fstatSync(fd).ino !== own) return fd;
    closeSync(fd);
  }
  return undefined;
}

function openOf(pid: number, group: string): number | undefined {
  let directory: number | undefined;
  try {
    directory = openSync(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY);
    // Checked after the open: this process, not an earlier one of the same number, is in the group.
    if (!membersOf(group).has(pid)) return undefined;
    return openSync(`/proc/self/fd/${directory}/ns/net`, 'r');
  } catch {
    // It has just ended.
    return undefined;
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}
