/**
 * What any cgroup driver has to do, tried on real processes. One list for all layouts: mocha runs it on this host's
 * cgroups, and again on a v2 kernel inside a virtual machine, where only node and a shell exist. Hence no chai here.
 * Nothing compares clocks in a way that a slow machine could fail: slowness only makes a capped group slower.
 */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CgroupCounters } from '../../src/linux/cgroup/counters.js';
import type { Cgroup } from '../../src/linux/cgroup/driver.js';
import { CgroupThrottle } from '../../src/linux/cgroup/throttle.js';
import { onlineCores } from '../../src/linux/online-cores.js';
import { listThreads } from '../../src/linux/process.js';
import { NemoError } from '../../src/model/errors.js';
import { type CgroupCheck, type CheckContext, MEMORY_CHECKS, MIB } from './cgroup-memory-checks.js';
import { runIn, startIn } from './in-cgroup.js';
import { letTimePass, until } from './waiting.js';

const SPIN = ['/bin/sh', '-c', 'while :; do :; done'];
const SPINNING_THREAD = `new (require('node:worker_threads').Worker)(
  "console.log(require('node:fs').readlinkSync('/proc/thread-self').split('/').at(-1)); setTimeout(() => { for (;;); }, 50)",
  { eval: true })`;
const FORK_STORM = ['/bin/sh', '-c', 'b() { while :; do b & done; }; b 2>/dev/null'];

/** Opens a fresh driver, runs the check, removes all that it made. */
export async function runCheck(check: CgroupCheck, context: CheckContext): Promise<void> {
  const driver = context.open({ rootName: context.rootName, idle: true });
  try {
    await check.run(driver, context);
  } finally {
    await driver.removeAll();
  }
}

export const CGROUP_CHECKS: CgroupCheck[] = [
  {
    title: 'a group gets a core again that was unplugged and came back',
    async run(driver) {
      const group = driver.create('replugged', { cpus: [0] });
      const files = group.joinPaths.map((path) => join(dirname(path), 'cpuset.cpus'));
      const file = files.find((path) => existsSync(path))!;
      // What the kernel does to every v1 group when core 1 goes offline, and does not undo.
      if (driver.layout !== 'v2') writeFileSync(join(dirname(dirname(file)), 'cpuset.cpus'), '0');
      const core = onlineCores().at(-1)!;
      group.setCpus([core]);
      assert.equal(readFileSync(file, 'latin1').trim(), String(core));
    },
  },
  {
    title: 'lacks no controller',
    async run(driver) {
      assert.deepEqual(driver.missing, []);
    },
  },
  ...MEMORY_CHECKS,
  {
    title: 'takes in one thread of a process: pins, freezes and accounts it alone, and lets it end',
    async run(driver) {
      const all = driver.create('threads', { pidsMax: 64 });
      const one = driver.create('thread', { memoryMaxBytes: 64 * MIB, pidsMax: 4, cpus: [0] }, all);
      const child = startIn(all, [process.execPath, '-e', SPINNING_THREAD]);
      const tid = await new Promise<number>((resolve) =>
        child.stdout!.once('data', (line: Buffer) => resolve(Number(line))),
      );
      one.adoptThread(tid);
      const before = one.usage();
      assert.equal(before.pids, 1);
      await until(() => one.usage().cpuNs > before.cpuNs + 20e6);
      const cpus = listThreads(child.pid!).map((thread) => [thread.tid === tid, thread.cpus.length] as const);
      assert.ok(cpus.some(([own, count]) => own && count === 1));
      const throttle = new CgroupThrottle(one.handle);
      throttle.freeze();
      await until(() => {
        const { cpuNs } = one.usage();
        const endMs = performance.now() + 50;
        while (performance.now() < endMs);
        return one.usage().cpuNs === cpuNs;
      });
      one.release();
      const frozen = one.usage().cpuNs;
      await until(() => one.usage().cpuNs > frozen);
      throttle.close();
      await all.kill();
      await one.remove();
      await all.remove();
      assert.deepEqual(driver.list(), []);
    },
  },
  {
    title: 'refuses the fork that goes over the limit of processes',
    async run(driver) {
      const group = driver.create('crowd', { pidsMax: 5 });
      const finished = await runIn(group, 'for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; echo unlimited');
      assert.match(finished.stderr, /fork/);
      assert.doesNotMatch(finished.stdout, /unlimited/);
      group.setPidsMax(50);
      await group.kill();
      const again = await runIn(group, 'for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; echo enough');
      assert.match(again.stdout, /enough/);
    },
  },
  {
    title: 'binds members to their cores, and moves live ones',
    async run(driver) {
      const group = driver.create('pinned', { cpus: [1] });
      const { pid } = startIn(group, SPIN);
      await until(() => group.usage().cpuNs > 10_000_000);
      assert.deepEqual(listThreads(pid!)[0]?.cpus, [1]);
      group.setCpus([0]);
      assert.deepEqual(listThreads(pid!)[0]?.cpus, [0]);
    },
  },
  {
    title: 'caps CPU time by a quota, and lifts the cap',
    async run(driver) {
      const group = driver.create('capped', { cpus: [1] });
      const throttle = new CgroupThrottle(group.handle);
      assert.equal(throttle.setQuotaRatio(0.2), true);
      startIn(group, SPIN);
      await until(() => throttle.readCpuNs() > 0);
      const cappedRatio = await ratioOver(throttle, 60);
      assert.ok(cappedRatio < 0.5, `a cap of 0.2 let ${cappedRatio} of a core through`);
      assert.ok(throttledPeriods(group) > 0, 'the kernel never throttled the group');
      throttle.setQuotaRatio(null);
      const before = throttledPeriods(group);
      await ratioOver(throttle, 100);
      assert.ok(throttledPeriods(group) <= before + 1, 'still throttled after the cap was lifted');
      throttle.close();
    },
  },
  {
    title: 'gives a group of low weight next to nothing beside a normal one, and all of the core alone',
    async run(driver) {
      const normal = driver.create('has-the-turn', { cpus: [1] });
      const low = driver.create('staged', { cpus: [1] });
      low.setWeight('low');
      startIn(low, SPIN);
      await until(() => low.usage().cpuNs > 20_000_000);
      startIn(normal, SPIN);
      await until(() => normal.usage().cpuNs > 20_000_000);
      const start = [low.usage().cpuNs, normal.usage().cpuNs];
      await until(() => normal.usage().cpuNs > start[1]! + 300_000_000);
      const taken = low.usage().cpuNs - start[0]!;
      assert.ok(taken < 60_000_000, `the low group took ${taken / 1e6} ms of 300`);
      low.setWeight('normal');
      normal.setWeight('low');
      const swapped = normal.usage().cpuNs;
      const from = low.usage().cpuNs;
      await until(() => low.usage().cpuNs > from + 100_000_000);
      assert.ok(normal.usage().cpuNs - swapped < 100_000_000, 'weights of running groups cannot be changed');
    },
  },
  {
    title: 'freezes members where they are, and thaws them',
    async run(driver) {
      const group = driver.create('cold', {});
      const throttle = new CgroupThrottle(group.handle);
      startIn(group, SPIN);
      await until(() => throttle.readCpuNs() > 10_000_000);
      assert.equal(throttle.freeze(), true);
      await until(() => isFrozen(group));
      const frozenAt = throttle.readCpuNs();
      // In which it uses nothing.
      await letTimePass(60);
      assert.equal(throttle.readCpuNs(), frozenAt);
      assert.equal(throttle.thaw(), true);
      await until(() => throttle.readCpuNs() > frozenAt + 10_000_000);
      throttle.close();
    },
  },
  {
    title: 'yields the core to whoever is outside the idle root',
    async run(driver, context) {
      assert.equal(driver.idleGroup, true);
      // As an agent does when it starts: it sweeps what is there, and its root is made anew.
      await driver.removeAll();
      const others = context.open({ rootName: `${context.rootName}-others`, idle: false });
      try {
        assert.equal(others.idleGroup, false);
        const harvested = driver.create('harvested', { cpus: [1] });
        const owner = others.create('owner', { cpus: [1] });
        startIn(harvested, SPIN);
        await until(() => harvested.usage().cpuNs > 20_000_000);
        startIn(owner, SPIN);
        await until(() => owner.usage().cpuNs > 20_000_000);
        const start = [harvested.usage().cpuNs, owner.usage().cpuNs];
        await until(() => owner.usage().cpuNs > start[1]! + 300_000_000);
        const stolen = harvested.usage().cpuNs - start[0]!;
        assert.ok(stolen < 60_000_000, `the idle group took ${stolen / 1e6} ms of 300`);
      } finally {
        await others.removeAll();
      }
    },
  },
  {
    title: 'caps all groups together, also when the root is made again, and an uncapped driver lifts it',
    async run(_driver, context) {
      const rootName = `${context.rootName}-capped`;
      const capped = context.open({ rootName, idle: false, capCores: 0.2 });
      try {
        await capped.removeAll();
        const groups = ['one', 'two'].map((name) => capped.create(name, { cpus: [1] }));
        for (const group of groups) startIn(group, SPIN);
        await until(() => groups.every((group) => group.usage().cpuNs > 5_000_000));
        const used = (): number => groups.reduce((sum, group) => sum + group.usage().cpuNs, 0);
        const [fromNs, fromMs] = [used(), performance.now()];
        // Three periods: a cap is a share of time.
        await letTimePass(300);
        const ratio = (used() - fromNs) / 1e6 / (performance.now() - fromMs);
        assert.ok(ratio < 0.5, `a cap of 0.2 let ${ratio} of a core through`);
        context.open({ rootName, idle: false });
        await until(() => {
          const before = used();
          const end = performance.now() + 100;
          while (performance.now() < end);
          return used() - before > 40_000_000;
        });
      } finally {
        await capped.removeAll();
      }
    },
  },
  {
    title: 'says what members use',
    async run(driver) {
      const group = driver.create('used', { memoryMaxBytes: 64 * MIB, pidsMax: 20 });
      assert.deepEqual(group.usage().pids, 0);
      startIn(group, ['/bin/sh', '-c', 'sleep 60 & sleep 60 & while :; do :; done']);
      await until(() => group.usage().pids === 3);
      await until(() => group.usage().cpuNs > 10_000_000);
      const { memoryBytes } = group.usage();
      assert.ok(memoryBytes > 0 && memoryBytes <= 64 * MIB, `${memoryBytes} bytes`);
    },
  },
  {
    title: 'counts time in the kernel, page faults and memory',
    async run(driver) {
      const group = driver.create('faulty', { memoryMaxBytes: 64 * MIB, pidsMax: 20 });
      const counters = new CgroupCounters(group.handle);
      counters.read();
      assert.deepEqual([counters.kernelNs, counters.faults, counters.memoryBytes], [0, 0, 0]);
      startIn(group, ['/bin/sh', '-c', 'while :; do head -c 1000000 /dev/zero; done >/dev/null']);
      await until(() => {
        counters.read();
        return counters.kernelNs > 0 && counters.faults > 1_000 && counters.memoryBytes > 4_096;
      });
      counters.close();
    },
  },
  {
    title: 'kills a fork storm',
    async run(driver) {
      const group = driver.create('storm', { pidsMax: 150 });
      startIn(group, FORK_STORM);
      await until(() => group.usage().pids > 100);
      await group.kill();
      for (const path of group.joinPaths) assert.equal(readFileSync(path, 'utf8'), '', path);
      await until(() => group.usage().pids === 0);
    },
  },
  {
    title: 'kills frozen members',
    async run(driver) {
      const group = driver.create('iced', {});
      const child = startIn(group, ['sleep', '60']);
      await until(() => group.usage().pids === 1);
      const throttle = new CgroupThrottle(group.handle);
      throttle.freeze();
      await until(() => isFrozen(group));
      const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
      await group.kill();
      assert.equal(await ended, 'SIGKILL');
      await until(() => group.usage().pids === 0);
      throttle.close();
    },
  },
  {
    title: 'removes a group with its members, and a second time',
    async run(driver) {
      const group = driver.create('brief', {});
      startIn(group, ['sleep', '60']);
      await until(() => group.usage().pids === 1);
      assert.deepEqual(driver.list(), ['brief']);
      await group.remove();
      await group.remove();
      assert.deepEqual(driver.list(), []);
      for (const path of group.joinPaths) assert.equal(existsSync(path), false, path);
    },
  },
  {
    title: 'tolerates a throttle on a group that is gone',
    async run(driver) {
      const group = driver.create('past', {});
      const throttle = new CgroupThrottle(group.handle);
      await runIn(group, 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done');
      const last = throttle.readCpuNs();
      assert.ok(last > 0);
      await group.remove();
      assert.equal(throttle.readCpuNs(), last);
      assert.equal(throttle.gone, true);
      assert.equal(throttle.setQuotaRatio(0.5), false);
      assert.equal(throttle.freeze(), false);
      assert.equal(new CgroupThrottle(group.handle).readCpuNs(), 0);
    },
  },
  {
    title: 'sweeps what a dead agent left, frozen groups too',
    async run(driver, context) {
      const left = driver.create('left', { pidsMax: 100 });
      const iced = driver.create('iced', {});
      startIn(left, FORK_STORM);
      startIn(iced, ['sleep', '60']);
      await until(() => left.usage().pids > 50 && iced.usage().pids === 1);
      new CgroupThrottle(iced.handle).freeze();
      const next = context.open({ rootName: context.rootName, idle: true });
      assert.deepEqual(next.list(), ['iced', 'left']);
      await next.removeAll();
      await next.removeAll();
      assert.deepEqual(next.list(), []);
      for (const path of [...left.joinPaths, ...iced.joinPaths]) assert.equal(existsSync(path), false, path);
    },
  },
  {
    title: 'names the file and the errno when the kernel refuses',
    async run(driver) {
      driver.create('twice', {});
      const twice = thrownBy(() => driver.create('twice', {}));
      assert.equal(twice.code, 'SYSCALL');
      assert.match(twice.message, /mkdir failed on \/.*twice: EEXIST/);
      assert.ok(twice.hint);
      const noSuchCore = thrownBy(() => driver.create('nowhere', { cpus: [4_000] }));
      assert.match(noSuchCore.message, /"4000" failed on \/.*cpuset\.cpus: E/);
      assert.deepEqual(driver.list(), ['twice']);
      assert.equal(thrownBy(() => driver.create('../up', {})).code, 'BAD_CONFIG');
    },
  },
];

/** CPU time per wall time while the group uses `cpuMs`. */
async function ratioOver(throttle: CgroupThrottle, cpuMs: number): Promise<number> {
  const startNs = throttle.readCpuNs();
  const startMs = performance.now();
  await until(() => throttle.readCpuNs() - startNs > cpuMs * 1e6);
  return (throttle.readCpuNs() - startNs) / 1e6 / (performance.now() - startMs);
}

function throttledPeriods(group: Cgroup): number {
  const stat = readFileSync(group.handle.quotaPath!.replace(/[^/]+$/, 'cpu.stat'), 'utf8');
  return Number(/nr_throttled (\d+)/.exec(stat)?.[1]);
}

function isFrozen(group: Cgroup): boolean {
  const path = group.handle.freezePath!;
  if (group.handle.version === 'v1') return readFileSync(path, 'utf8').trim() === 'FROZEN';
  return /frozen 1/.test(readFileSync(path.replace(/freeze$/, 'events'), 'utf8'));
}

function thrownBy(action: () => unknown): NemoError {
  try {
    action();
  } catch (thrown) {
    assert.ok(thrown instanceof NemoError, String(thrown));
    return thrown;
  }
  throw new assert.AssertionError({ message: 'nothing was thrown' });
}
