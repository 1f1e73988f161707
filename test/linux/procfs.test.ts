import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { expect } from 'chai';
import { gettid } from '../../src/linux/libc.js';
import { CpuStat, Pressure, ThreadStat, Tick } from '../../src/linux/procfs.js';
import { until } from '../support/waiting.js';

describe('procfs readers', () => {
  it('follows the run time of a thread until it is gone', async () => {
    const child = spawn('/bin/sh', ['-c', 'while :; do :; done']);
    const stat = new ThreadStat(child.pid!, child.pid!);
    expect(stat.read()).to.equal(true);
    const before = stat.runNs;
    await until(() => stat.read() && stat.runNs > before + 20_000_000);
    expect(stat.slices).to.be.greaterThan(0);
    expect(stat.waitNs).to.be.at.least(0);
    const last = stat.runNs;
    child.kill('SIGKILL');
    await once(child, 'exit');
    await until(() => !stat.read());
    expect(stat.runNs).to.be.at.least(last);
    expect(new ThreadStat(child.pid!, child.pid!).read()).to.equal(false);
  });

  it('agrees with the process about its own CPU time', () => {
    const stat = new ThreadStat(process.pid, gettid());
    stat.read();
    const usage = process.cpuUsage();
    expect(stat.runNs).to.be.at.most((usage.user + usage.system) * 1_000 + 20_000_000);
    stat.close();
    expect(stat.read()).to.equal(false);
  });

  it('counts ticks per CPU', async () => {
    const cpus = availableParallelism();
    const stat = new CpuStat(cpus);
    stat.read();
    const sum = () => Array.from({ length: cpus }, (_, cpu) => total(stat, cpu));
    const before = sum();
    await until(() => {
      stat.read();
      return sum().every((ticks, cpu) => ticks > before[cpu]! + 2);
    });
    for (let cpu = 0; cpu < cpus; cpu++) expect(stat.get(cpu, Tick.user)).to.be.greaterThan(0);
    stat.close();
  });

  it('reads pressure, and is absent where the kernel has none', () => {
    const pressure = Pressure.open('/proc/pressure/cpu');
    if (pressure !== undefined) {
      expect(pressure.someTotalUs).to.be.greaterThan(0);
      expect(pressure.someAvg10Percent).to.be.within(0, 100);
      pressure.close();
    }
    expect(Pressure.open('/proc/pressure/none')).to.equal(undefined);
  });

  it('allocates nothing worth mentioning while it reads', () => {
    const stat = new ThreadStat(process.pid, process.pid);
    for (let i = 0; i < 20_000; i++) stat.read();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 2_000; i++) stat.read();
    expect(process.memoryUsage().heapUsed - before).to.be.lessThan(1_000_000);
    stat.close();
  });
});

function total(stat: CpuStat, cpu: number): number {
  return stat.ticks.subarray(cpu * 8, cpu * 8 + 8).reduce((sum, ticks) => sum + ticks, 0);
}
