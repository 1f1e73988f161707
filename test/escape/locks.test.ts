/** Locks on files: memory that the kernel charges to nobody. Who holds very many is ended; databases go on. */

import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { countLocks } from '../../src/linux/lock-counts.js';
import { LOCKS } from '../../src/tunables.js';
import { RealAgent } from '../support/real-agent.js';

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
    while ((await countLocks(LOCKS.readMaxBytes)).total > LOCKS.perSandboxMax) await delay(20);
    expect((await agent.call('locker', '1')).body.trim()).to.equal('1');
  });
});
