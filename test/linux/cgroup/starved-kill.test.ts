/** A sandbox that is killed beside an NF that leaves nothing of its core: dying needs CPU time too. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { CgroupDriver } from '../../../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../../../src/linux/cgroup/open.js';
import { onlineCores } from '../../../src/linux/online-cores.js';
import { ThreadStat } from '../../../src/linux/procfs.js';
import { setAffinity, setScheduling } from '../../../src/linux/sched.js';
import { spawnTied } from '../../../src/linux/tied-process.js';
import { until } from '../../support/waiting.js';

const JOIN = 'for path; do echo 0 > "$path"; done; exec chrt -i 0';
/** Touches memory, so that its end is work, then spins. */
const EATER = `${JOIN} "${process.execPath}" -e "const b = Buffer.alloc(6e7, 1); for (;;) b[0]++;"`;

describe('killing a group on a core that is never free', function () {
  this.timeout(20_000);
  const core = onlineCores().at(-1)!;
  let driver: CgroupDriver;
  let hog: ChildProcess;

  beforeEach(() => {
    driver = openCgroupDriver({ rootName: `nemo-test-starved-${process.pid}`, idle: true });
    hog = spawnTied('/bin/sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' });
  });
  afterEach(async () => {
    const ended = once(hog, 'exit');
    hog.kill('SIGKILL');
    await ended;
    await driver.removeAll();
  });

  it('lifts its quota, then lets it die elsewhere at default scheduling', async function () {
    if (onlineCores().length < 2) this.skip();
    const group = driver.create('sb-1', { cpus: [core], memoryMaxBytes: 256 * 1024 * 1024 });
    const child = spawnTied('/bin/sh', ['-c', EATER, 'eater', ...group.joinPaths], { stdio: 'ignore' });
    await until(() => group.usage().memoryBytes >= 6e7);
    // Only now is the core taken for good, by somebody whom SCHED_IDLE never preempts.
    setAffinity(hog.pid!, [core]);
    setScheduling(hog.pid!, { policy: 'rr', priority: 1 });
    try {
      const time = new ThreadStat(hog.pid!, hog.pid!);
      time.read();
      const ranNs = time.runNs;
      await until(() => time.read() && time.runNs > ranNs + 50e6);
      time.close();
      const exited = once(child, 'exit');
      const from = performance.now();
      await group.remove();
      await exited;
      if (process.env.NEMO_SHOW_TIMES) process.stdout.write(`killed in ${performance.now() - from} ms\n`);
      expect(() => readFileSync(group.handle.cpuUsagePath)).to.throw('ENOENT');
    } finally {
      setScheduling(hog.pid!, { policy: 'other' });
    }
  });
});
