/** The network namespace that a sandbox has for itself, as a path below /proc that setns() takes. */

import { readlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Cgroup } from '../linux/cgroup/driver.js';
import { membersOf } from '../linux/cgroup/files.js';

/** Undefined if every process of the group shares this process's namespace, or none is left. */
export function ownNetworkNamespace(cgroup: Cgroup): string | undefined {
  const own = readlinkSync('/proc/self/ns/net');
  const directory = dirname(cgroup.joinPaths[0] ?? '');
  for (const pid of membersOf(directory)) {
    const path = `/proc/${pid}/ns/net`;
    try {
      if (readlinkSync(path) !== own) return path;
    } catch {
      // It has just ended.
    }
  }
  return undefined;
}
