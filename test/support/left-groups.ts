/**
 * A run of the tests that was killed leaves its cgroups: no guardian stands behind them. The next run removes them before it
 * begins. Their names have the pid of their run; a group of anybody else has another name.
 */

import { existsSync } from 'node:fs';
import { childGroups } from '../../src/linux/cgroup/files.js';
import { CGROUP_MOUNT_POINT, openCgroupDriver } from '../../src/linux/cgroup/open.js';

const OF_TESTS = /^nemo-(?:test-[a-z]+|escape-[a-z]+|e2e|cgtest)-(\d+)(?:-\d+)?$/;

/** Whether a group is one of a run of the tests that is over. */
export function isLeft(name: string): boolean {
  const pid = OF_TESTS.exec(name)?.[1];
  return pid !== undefined && !existsSync(`/proc/${pid}`);
}

/** Removes them, and what still runs in them. */
export async function removeLeftGroups(): Promise<void> {
  if (process.getuid?.() !== 0 || !existsSync(CGROUP_MOUNT_POINT)) return;
  const mounts = [
    CGROUP_MOUNT_POINT,
    ...childGroups(CGROUP_MOUNT_POINT).map((one) => `${CGROUP_MOUNT_POINT}/${one}`),
  ];
  for (const rootName of new Set(mounts.flatMap(childGroups).filter(isLeft)))
    await openCgroupDriver({ rootName, idle: false }).removeAll();
}

export const mochaGlobalSetup = removeLeftGroups;
