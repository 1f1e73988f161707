/**
 * The cgroups on which it depends how much of an NF's memory is kept: its own and those above. Their path is what the kernel
 * says of a process; it must lie below the mount, have plain names only, and is gone along without following links.
 */

import { closeSync, existsSync, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { CGROUP_MOUNT_POINT } from '../linux/cgroup/open.js';
import { openBeneath } from '../linux/open-beneath.js';
import { byDescriptor, openProcessDirectory, type ProcessId } from '../linux/process-directory.js';
import { GROUP_PATH } from './memory-journal.js';

/** CGROUP2_SUPER_MAGIC of linux/magic.h. */
const CGROUP2_MAGIC = 0x63677270;

/** From the innermost that counts memory up to the mount; or a message why there is none to set. */
export function groupOf(nf: ProcessId, mount: string): { groups: string[] } | string {
  const directory = openProcessDirectory(nf);
  if (directory === undefined) return 'it is gone';
  try {
    const path = groupPath(readFileSync(`/proc/${byDescriptor(directory)}/cgroup`, 'latin1'), mount);
    if (path === undefined) return 'its cgroup cannot be seen from here, or has an unusual name';
    const groups: string[] = [];
    for (let at = path; ; at = dirname(at)) {
      if (insideGroup(at, (here) => existsSync(`${here}/memory.min`))) groups.push(at);
      if (at === mount) break;
    }
    return groups.length > 0
      ? { groups }
      : 'it runs in the root cgroup: start it as a service, or in a container';
  } finally {
    closeSync(directory);
  }
}

/** Of this process. */
export function ownGroup(mount: string): string | undefined {
  return groupPath(readFileSync('/proc/self/cgroup', 'latin1'), mount);
}

/** From the text of /proc/<pid>/cgroup. Undefined for a path that leads elsewhere, or has other names than services have. */
export function groupPath(text: string, mount: string): string | undefined {
  const path = /^0::(\/.*)$/m.exec(text)?.[1];
  if (path === undefined) return undefined;
  const whole = path === '/' ? mount : mount + path;
  return GROUP_PATH.test(whole) && !whole.split('/').some((name) => name === '.' || name === '..')
    ? whole
    : undefined;
}

/** `action` gets a path that stands for this very group. Throws if it is gone. */
export function insideGroup<T>(group: string, action: (path: string) => T): T {
  const opened = openBeneath(CGROUP_MOUNT_POINT, group.slice(CGROUP_MOUNT_POINT.length));
  if (opened === undefined) throw new Error(`the cgroup ${group} is not there`);
  try {
    const path = `/proc/${byDescriptor(opened.fd)}`;
    if (opened.kind !== 'directory' || statfsSync(path).type !== CGROUP2_MAGIC)
      throw new Error(`${group} is not a cgroup`);
    return action(path);
  } finally {
    closeSync(opened.fd);
  }
}
