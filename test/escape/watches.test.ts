/** Watches by epoll: whoever reads or writes a pipe wakes all that watch it, in its own time. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { countWatches } from '../../src/linux/epoll-counts.js';
import { RealAgent } from '../support/real-agent.js';

/** Watches the pipe that its agent reads, 100,000 times, and keeps it full. */
const WATCHER = `#!/usr/bin/env python3
import os, select
instances = [select.epoll() for _ in range(200)]
for copy in [os.dup(2) for _ in range(500)]:
    for instance in instances:
        instance.register(copy, select.EPOLLOUT | select.EPOLLET)
while True:
    os.write(2, b'x' * 65536)
`;

/** Four instances that watch ten files each, which a child has too, and one more of the child's own. */
const FORKS = `
import os, select, sys, time
def watch():
    instance = select.epoll()
    for copy in copies:
        instance.register(copy, 0)
    return instance
copies = [os.dup(0) for _ in range(10)]
instances = [watch() for _ in range(4)]
child = os.fork()
if child == 0:
    own = watch()
    print(os.getpid(), flush=True)
    time.sleep(50)
sys.stdin.read()
os.kill(child, 9)
`;

describe('escape by watches', function () {
  this.timeout(60_000);
  const agent = new RealAgent({ pool: { prewarm: 'none' } });
  after(() => agent.close());

  it('a function that has its agent wake a hundred thousand watches is ended', async () => {
    await agent.start();
    const reply = await agent.deploy('watcher', WATCHER, { exec: 'stdio', timeout: '50s', memory: '256Mi' });
    expect(reply.ok, await reply.clone().text()).to.equal(true);
    const { code, body } = await agent.call('watcher');
    expect(code).to.equal('FUNCTION_OOM');
    expect(body).to.contain('by epoll');
  });

  it('are counted once, whoever has the instance from its parent', async () => {
    const parent = spawn('python3', ['-c', FORKS], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [child] = await once(parent.stdout, 'data');
    expect(await countWatches([parent.pid!, Number(child)], 1_000)).to.equal(50);
    expect(await countWatches([parent.pid!, Number(child)], 15)).to.equal(20);
    const ended = once(parent, 'exit');
    parent.stdin.end();
    await ended;
  });
});
