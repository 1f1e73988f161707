/** What a cgroup driver has to do about memory: part of `cgroup-checks.ts`, and run where that is. */

import assert from 'node:assert/strict';
import type { CgroupDriver, CgroupDriverOptions } from '../../src/linux/cgroup/driver.js';
import { runIn } from './in-cgroup.js';

export const MIB = 1024 * 1024;
/** Doubles what it holds until it is ended. */
const HOG = 'a=0123456789abcdef; while :; do a=$a$a; done';

export interface CheckContext {
  open(options: CgroupDriverOptions): CgroupDriver;
  rootName: string;
}

export interface CgroupCheck {
  title: string;
  run(driver: CgroupDriver, context: CheckContext): Promise<void>;
}

export const MEMORY_CHECKS: CgroupCheck[] = [
  {
    title: 'lets the kernel kill a member that goes over its memory, and counts it',
    async run(driver) {
      const group = driver.create('hog', { memoryMaxBytes: 32 * MIB });
      assert.equal(group.oomKills(), 0);
      const { signal } = await runIn(group, HOG);
      assert.equal(signal, 'SIGKILL');
      assert.equal(group.oomKills(), 1);
    },
  },
  {
    title: 'raises and lowers a memory limit of a live group',
    async run(driver) {
      const group = driver.create('resized', { memoryMaxBytes: 64 * MIB });
      group.setMemoryMax(16 * MIB);
      group.setMemoryMax(128 * MIB);
      const finished = await runIn(group, 'a=$(head -c 20000000 /dev/zero | tr "\\0" x); echo "$a" | wc -c');
      assert.equal(finished.stdout.trim(), '20000001');
      group.setMemoryMax(16 * MIB);
      const { signal } = await runIn(group, HOG);
      assert.equal(signal, 'SIGKILL');
    },
  },
  {
    title: 'holds all groups together to a limit of memory, whatever the limit of each is',
    async run(driver) {
      assert.equal(driver.limitMemory(48 * MIB, 24 * MIB), true);
      assert.equal(driver.sharedMemoryMaxBytes, 24 * MIB);
      // A root that is made again is held to it too.
      await driver.removeAll();
      const group = driver.create('hog', { memoryMaxBytes: 1024 * MIB });
      const finished = await runIn(group, 'echo held');
      assert.equal(finished.stdout.trim(), 'held');
      const { signal } = await runIn(group, HOG);
      assert.equal(signal, 'SIGKILL');
    },
  },
];
