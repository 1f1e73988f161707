import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import {
  exeBaseName,
  formatCpuList,
  listPids,
  listThreads,
  parseCpuList,
  processArgs,
  processName,
  startTicks,
} from '../../src/linux/process.js';
import { until } from '../support/waiting.js';

describe('process facts', () => {
  it('reads and writes CPU lists', () => {
    expect(parseCpuList('0-2,5,7-8\n')).to.deep.equal([0, 1, 2, 5, 7, 8]);
    expect(parseCpuList('\n')).to.deep.equal([]);
    expect(formatCpuList([5, 0, 1, 2, 2, 8, 7])).to.equal('0-2,5,7-8');
    expect(formatCpuList([])).to.equal('');
    expect(formatCpuList([3])).to.equal('3');
  });

  it('knows a live process, its arguments, threads and cores', async () => {
    const child = spawn('taskset', ['-c', '1', 'sleep', '60']);
    await once(child, 'spawn');
    const pid = child.pid!;
    // During exec the arguments come last.
    await until(() => processArgs(pid)[0] === 'sleep');
    expect(exeBaseName(pid)).to.equal('sleep');
    expect(processArgs(pid)).to.deep.equal(['sleep', '60']);
    expect(processName(pid)).to.equal('sleep');
    expect(listThreads(pid)).to.deep.equal([{ tid: pid, name: 'sleep', cpus: [1] }]);
    expect(startTicks(pid)).to.be.greaterThan(startTicks(1)!);
    expect(listPids()).to.include(pid);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(listThreads(pid)).to.deep.equal([]);
    expect(startTicks(pid)).to.equal(undefined);
    expect(processArgs(pid)).to.deep.equal([]);
    expect(exeBaseName(pid)).to.equal(undefined);
    expect(listPids()).not.to.include(pid);
  });
});
