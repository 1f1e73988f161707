import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { isLeft, removeLeftGroups } from './left-groups.js';
import { until } from './waiting.js';

describe('groups of a run of the tests that was killed', () => {
  it('are removed by the next run, with what runs in them; those of anybody else stay', async () => {
    const owner = spawn('true');
    await once(owner, 'exit');
    const [left, own] = [owner.pid!, process.pid].map((pid) => `nemo-test-left-${pid}`) as [string, string];
    const drivers = [left, own].map((rootName) => openCgroupDriver({ rootName, idle: false }));
    const limits = { memoryMaxBytes: 2 ** 26, pidsMax: 8 };
    const [inLeft, inOwn] = drivers.map((driver) => driver.create('one', limits));
    const join = inLeft!.joinPaths.map((path) => `echo $$ > ${path}`).join('; ');
    const child = spawn('sh', ['-c', `${join}; exec sleep 1000`]);
    const ended = once(child, 'exit');
    try {
      await until(() => readFileSync(`/proc/${child.pid}/comm`, 'utf8').trim() === 'sleep');
      await removeLeftGroups();
      expect(await ended).to.deep.equal([null, 'SIGKILL']);
      expect([...drivers[0]!.rootPaths].filter(existsSync)).to.deep.equal([]);
      expect(inOwn!.joinPaths.every(existsSync)).to.equal(true);
    } finally {
      child.kill('SIGKILL');
      for (const driver of drivers) await driver.removeAll();
    }
  });

  it('are told by their names', () => {
    for (const name of ['nemo', 'nemo-edge-999999999', 'nemo-test-999999999', 'system.slice'])
      expect(isLeft(name), name).to.equal(false);
    for (const name of ['nemo-e2e-999999999-0', 'nemo-test-sandbox-999999999-19', 'nemo-cgtest-999999999'])
      expect(isLeft(name), name).to.equal(true);
  });
});
