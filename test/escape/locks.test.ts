/** Locks on files: memory that the kernel charges to nobody. Who holds very many is ended; databases go on. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { EXEC_VARIANT } from '../../src/engine/process/programs.js';
import { processesOf } from '../../src/linux/cgroup/files.js';
import { countLocks, countOpenLocks } from '../../src/linux/lock-counts.js';
import { LockWatch } from '../../src/pool/lock-watch.js';
import { LOCKS } from '../../src/tunables/index.js';
import { RealAgent } from '../support/real-agent.js';
import { call, errorOf, SandboxBench } from '../support/sandboxes.js';
import { STDIO } from '../support/sources.js';

/** Takes as many locks on parts of files as its input says; with more than it may hold, it keeps them. */
const LOCKER = `#!/usr/bin/env python3
import fcntl, sys, time
wanted = int(sys.stdin.read())
files = [open('/tmp/%d' % i, 'w') for i in range(64)]
for i in range(wanted):
    fcntl.lockf(files[i % 64], fcntl.LOCK_EX, 1, i // 64 * 2)
if wanted > ${LOCKS.perSandboxMax}:
    time.sleep(50)
print(wanted)
`;

const HEIR_LOCKS = 6_000;
/** Has children of its processes take the locks and end: they stay with the open files, under numbers of nobody. */
const HEIR = `#!/usr/bin/env python3
import fcntl, os, time
for i in range(6):
    if os.fork() == 0:
        files = [open('/tmp/%d' % i, 'w') for _ in range(1000)]
        child = os.fork()
        for file in files if child == 0 else ():
            fcntl.flock(file, fcntl.LOCK_SH)
        if child == 0:
            os._exit(0)
        time.sleep(50)
time.sleep(50)
`;

/** One epoll instance, under each of its descriptors, that watches hundreds of files. */
const WATCHER = `
import os, select, sys
watched, instance = os.eventfd(0), select.epoll()
copies = [os.dup(watched) for _ in range(400)]
for copy in copies:
    instance.register(copy, 0)
same = [os.dup(instance.fileno()) for _ in range(400)]
print('there', flush=True)
sys.stdin.read()
`;

/** Locks programs of the host for itself, in all ways there are. */
const HOLDER = `#!/usr/bin/env python3
import fcntl, time
files = [open(path) for path in ('/usr/bin/env', '/bin/true')]
for file in files:
    fcntl.flock(file, fcntl.LOCK_EX)
    fcntl.lockf(file, fcntl.LOCK_SH)
time.sleep(50)
`;

import { until } from '../support/waiting.js';

describe('escape by locks on files', function () {
  this.timeout(90_000);
  let agent: RealAgent;
  before(async () => {
    agent = await new RealAgent().start();
    const reply = await agent.deploy('locker', LOCKER, { exec: 'stdio', timeout: '60s' });
    expect(reply.ok, await reply.clone().text()).to.equal(true);
  });
  after(() => agent.close());

  it('a function that holds more than it may is ended, and one that holds many is not', async () => {
    const few = String(LOCKS.perSandboxMax / 2);
    expect((await agent.call('locker', few)).body.trim()).to.equal(few);
    const { code, body } = await agent.call('locker', String(2 * LOCKS.perSandboxMax));
    expect(code).to.equal('FUNCTION_OOM');
    expect(body).to.contain('locks on files');
    // Its caller is told before the last of its processes is gone.
    await until(async () => (await countLocks(LOCKS.readMaxBytes)).total <= LOCKS.perSandboxMax);
    expect((await agent.call('locker', '1')).body.trim()).to.equal('1');
  });
});

describe('a program that locks files', () => {
  const bench = new SandboxBench();
  after(() => bench.close());

  it('holds those too that its ended children took, and those that are hidden behind others', async () => {
    const [heir, other] = [await bench.start({ variant: EXEC_VARIANT }), await bench.start()];
    await bench.load(heir, HEIR, { source: STDIO });
    const running = errorOf(call(heir));
    await until(async () => (await countLocks(LOCKS.readMaxBytes)).total >= HEIR_LOCKS);
    for (const readMaxBytes of [LOCKS.readMaxBytes, 64 * 1024]) {
      const above = await new LockWatch(readMaxBytes).above([other, heir]);
      expect(above.map(({ sandbox }) => sandbox)).to.deep.equal([heir]);
    }
    await heir.kill();
    await running;
  });

  it('has no list of what it watches written down, as often as it has it open, while locks are looked for', async () => {
    const watcher = spawn('python3', ['-c', WATCHER], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(watcher.stdout, 'data');
    const readBytes = () => Number(/rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))![1]);
    const before = readBytes();
    expect(await countOpenLocks([watcher.pid!], 1)).to.equal(0);
    // Each of 400 lists has some 30 KB.
    expect(readBytes() - before).to.be.lessThan(2 * 1024 * 1024);
    const ended = once(watcher, 'exit');
    watcher.stdin.end();
    await ended;
  });

  it('locks those of the host for itself only', async () => {
    const sandbox = await bench.run(HOLDER, { variant: EXEC_VARIANT, source: STDIO });
    const running = errorOf(call(sandbox));
    // Two of each kind.
    await until(async () => {
      const { byPid } = await countLocks(LOCKS.readMaxBytes);
      let held = 0;
      for (const pid of processesOf(sandbox.cgroup)) held += byPid.get(pid) ?? 0;
      return held >= 4;
    });
    // It would end with 1 where another holds a lock.
    for (const file of ['/usr/bin/env', '/usr/bin/true'])
      expect(execFileSync('flock', ['-n', '-x', file, 'echo', 'had']).toString()).to.equal('had\n');
    await sandbox.kill();
    await running;
  });
});
