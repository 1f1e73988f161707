/** Boundary: the box after kill -9 of the agent. Attacker: functions on the core of an NF that polls, where they get no time to die. */

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { getAffinity, setProcessAffinity } from '../../src/linux/sched.js';
import { spawn } from '../../src/linux/spawn.js';
import { endProcess } from '../../src/linux/tied-process.js';
import { Guardian } from '../../src/nf/guardian.js';

const NF_CORE = 1;
const SPIN = 'while :; do :; done';
const HOLD =
  "const held = Buffer.alloc(200 << 20, 1); process.stdout.write('held'); setInterval(() => held, 1e6);";

describe('escape: functions that get no time to die', function () {
  this.timeout(60_000);

  it('are taken off the NF core by the guardian, which leaves none of their groups', async () => {
    const folder = mkdtempSync('/var/tmp/nemo-starved-');
    const driver = openCgroupDriver({ rootName: `nemo-starved-${process.pid}`, idle: true });
    const before = getAffinity(process.pid);
    // The guardian inherits the agent's own cores.
    setProcessAffinity(process.pid, [0]);
    const children = [];
    try {
      const guardian = await Guardian.watch({ journal: join(folder, 'none'), groups: driver.rootPaths });
      for (let i = 0; i < 4; i++) {
        const group = driver.create(`sb-${i}`, { cpus: [0, NF_CORE] });
        const script = 'for f; do echo 0 > "$f"; done; exec chrt -i 0 "$NODE" -e "$CODE"';
        const child = spawn('sh', ['-c', script, 'sh', ...group.joinPaths], {
          stdio: ['ignore', 'pipe', 'ignore'],
          env: { ...process.env, NODE: process.execPath, CODE: HOLD },
        });
        children.push(child);
        await new Promise((resolve) => child.stdout!.once('data', resolve));
        group.setCpus([NF_CORE]);
      }
      // Now the NF begins to poll.
      children.push(
        spawn('taskset', ['-c', `${NF_CORE}`, 'nice', '-n', '-20', 'sh', '-c', SPIN], { stdio: 'ignore' }),
      );
      await guardian.close();
      expect(driver.rootPaths.filter((path) => existsSync(path))).to.deep.equal([]);
    } finally {
      for (const child of children.toReversed()) await endProcess(child);
      setProcessAffinity(process.pid, before);
      await driver.removeAll();
      rmSync(folder, { recursive: true });
    }
  });
});
