/**
 * Runs inside the virtual machine with a cgroup v2 kernel: every check of the host's list, and some that only v2
 * can fail. Prints one line of JSON a check, marked, because the kernel writes to the same console.
 */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Controller } from '../../src/linux/cgroup/driver.js';
import { removeTree } from '../../src/linux/cgroup/files.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { onlineCores } from '../../src/linux/online-cores.js';
import { listThreads } from '../../src/linux/process.js';
import { Pressure } from '../../src/linux/procfs.js';
import { readTopology } from '../../src/linux/topology.js';
import { CoreKeeper } from '../../src/nf/core-keeper.js';
import { CGROUP_CHECKS, runCheck } from './cgroup-checks.js';
import type { CgroupCheck } from './cgroup-memory-checks.js';
import { startIn } from './in-cgroup.js';
import { harvestsThroughClockSteps } from './v2-clock.js';
import { MEMORY_MIN_CHECKS } from './v2-memory-min.js';
import { V2_TITLES } from './v2-titles.js';
import { until } from './waiting.js';

const CORE_1 = '/sys/devices/system/cpu/cpu1/online';
const INNER = '/sys/fs/cgroup/inner';
const context = { open: openCgroupDriver, rootName: 'nemo-v2' };

const V2_CHECKS: Record<keyof typeof V2_TITLES, CgroupCheck['run']> = {
  async layout(driver) {
    assert.equal(driver.layout, 'v2');
    const group = driver.create('plain', {});
    assert.deepEqual(group.joinPaths, ['/sys/fs/cgroup/nemo-v2/plain/cgroup.procs']);
    const pressure = Pressure.open('/sys/fs/cgroup/nemo-v2/plain/cpu.pressure');
    assert.ok(pressure);
    pressure.close();
  },
  async swap(driver) {
    driver.create('noswap', { memoryMaxBytes: 32 << 20 });
    const path = '/sys/fs/cgroup/nemo-v2/noswap/memory.swap.max';
    assert.equal(readFileSync(path, 'utf8').trim(), '0');
  },
  /** As in a container with its own cgroup namespace: the top group that we see is not the real root. */
  async peers() {
    mkdirSync(INNER);
    writeFileSync('/sys/fs/cgroup/cgroup.subtree_control', '+cpu +cpuset +memory +pids');
    writeFileSync(`${INNER}/cgroup.procs`, String(process.pid));
    const missing: Controller[][] = [];
    try {
      const driver = openCgroupDriver({ rootName: 'nemo-inner', idle: true, mountPoint: INNER });
      missing.push([...driver.missing]);
      const group = driver.create('limited', { memoryMaxBytes: 32 << 20, pidsMax: 5, cpus: [1] });
      assert.equal(readFileSync(group.joinPaths[0]!.replace('cgroup.procs', 'pids.max'), 'utf8'), '5\n');
      assert.match(readFileSync('/proc/self/cgroup', 'utf8'), /inner\/nemo-inner-peers$/m);
      await driver.removeAll();
      await driver.removeAll();
      assert.match(readFileSync('/proc/self/cgroup', 'utf8'), /\/inner$/m);
      assert.equal(existsSync(`${INNER}/nemo-inner-peers`), false);
    } finally {
      writeFileSync('/sys/fs/cgroup/cgroup.procs', String(process.pid));
      removeTree(INNER);
    }
    assert.deepEqual(missing, [[]]);
  },
  async unplug(driver) {
    const group = driver.create('unplugged', { cpus: [1] });
    const left: number[] = [];
    const keeper = new CoreKeeper({
      functionCores: [1],
      allowSmtSiblings: true,
      topology: readTopology,
      onWarning: () => {},
      onExcluded: (core) => left.push(core),
    });
    const ran = (core: number) => {
      const { cpuNs } = group.usage();
      return until(
        () => group.usage().cpuNs > cpuNs + 20e6,
        () => `time on core ${core}`,
      );
    };
    const child = startIn(group, ['/bin/sh', '-c', 'while :; do :; done']);
    await ran(1);
    assert.equal(keeper.check(new Map()), false);
    writeFileSync(CORE_1, '0');
    try {
      assert.deepEqual(onlineCores(), [0]);
      assert.equal(keeper.check(new Map()), true);
      assert.deepEqual([keeper.barred, left], [[1], [1]]);
      group.setCpus([0]);
      await ran(0);
    } finally {
      writeFileSync(CORE_1, '1');
    }
    assert.equal(keeper.check(new Map()), true);
    assert.deepEqual(keeper.barred, []);
    group.setCpus([1]);
    await ran(1);
    assert.deepEqual(listThreads(child.pid!)[0]!.cpus, [1]);
    await group.kill();
  },
  ...MEMORY_MIN_CHECKS,
  clock: harvestsThroughClockSteps,
};

function report(title: string, error: string | null): void {
  process.stdout.write(`\n@@${JSON.stringify({ title, error })}\n`);
}

const checks = [
  ...CGROUP_CHECKS,
  ...Object.entries(V2_CHECKS).map(([key, run]) => ({
    title: V2_TITLES[key as keyof typeof V2_TITLES],
    run,
  })),
];
for (const check of checks) {
  try {
    await runCheck(check, context);
    report(check.title, null);
  } catch (thrown) {
    report(check.title, thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  }
}
process.stdout.write('\n@@end\n');
