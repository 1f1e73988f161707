/**
 * Finds out how cgroups are mounted and opens the driver that fits. In the hybrid layout a cgroup2 mount is there
 * too, but the kernel gives each controller to one side only: what counts is where the controllers are.
 */

import { readFileSync } from 'node:fs';
import { NemoError } from '../../model/errors.js';
import type { CgroupDriver, CgroupDriverOptions } from './driver.js';
import { allCgroupMounts, parseCgroupMounts } from './mounts.js';
import { CgroupV1Driver } from './v1-driver.js';
import { CgroupV2Driver } from './v2-driver.js';

export const CGROUP_MOUNT_POINT = '/sys/fs/cgroup';

/** Throws UNSUPPORTED where no cgroups are mounted, SYSCALL where the root group cannot be made. */
export function openCgroupDriver(options: CgroupDriverOptions): CgroupDriver {
  const mountPoint = options.mountPoint ?? CGROUP_MOUNT_POINT;
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8');
  const mounts = parseCgroupMounts(mountinfo, mountPoint);
  if (mounts.v1.has('cpu') || mounts.v1.has('memory'))
    return new CgroupV1Driver(mounts, options, allCgroupMounts(mountinfo, mountPoint));
  if (mounts.v2 !== undefined) return new CgroupV2Driver(mounts.v2, options);
  throw new NemoError('UNSUPPORTED', `no cgroup controllers are mounted at ${mountPoint}`, {
    hint: `mount -t cgroup2 none ${mountPoint}`,
  });
}

/** Where groups with `memory.min` are; undefined on cgroup v1, which has nothing of the kind. */
export function memoryMount(): string | undefined {
  const mount = parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'), CGROUP_MOUNT_POINT).v2;
  if (mount === undefined) return undefined;
  const controllers = readFileSync(`${mount}/cgroup.controllers`, 'latin1').trim().split(' ');
  return controllers.includes('memory') ? mount : undefined;
}
