/** Real-time threads of NFs that need their whole core: the rule, and the real thing. */

import { once } from 'node:events';
import { expect } from 'chai';
import { RealTimeBudget } from '../../src/control/real-time-budget.js';
import { RtThrottleGuard } from '../../src/control/rt-throttle-guard.js';
import { getScheduling, setScheduling } from '../../src/linux/sched.js';
import { spawnTied } from '../../src/linux/tied-process.js';
import { NF } from '../../src/tunables/index.js';

describe('real-time threads of NFs', function () {
  this.timeout(20_000);

  const use = (budget: RealTimeBudget, share: number, ms: number) => {
    for (let i = 0; i < ms; i++) budget.observe(share * 1e6, 1e6);
    return budget.realTime;
  };

  it('stay so at 75 % of a core, and not for a whole second at all of it', () => {
    expect(use(new RealTimeBudget(true), 0.75, 5_000)).to.equal(true);
    const greedy = new RealTimeBudget(true);
    expect(use(greedy, 1, 700)).to.equal(true);
    expect(use(greedy, 1, 200)).to.equal(false);
  });

  it('are so again after a second of less, not for a gap', () => {
    const budget = new RealTimeBudget(true);
    use(budget, 1, 1_000);
    expect(use(budget, 0, 100)).to.equal(false);
    expect(use(budget, 0.9, 2_000)).to.equal(false);
    expect(use(budget, 0.5, 1_000)).to.equal(true);
  });

  it('that are found at a nice value are watched for a second first', () => {
    const budget = new RealTimeBudget(false);
    expect(use(budget, 0.1, 200)).to.equal(false);
    expect(use(budget, 0.1, 300)).to.equal(true);
  });

  it('are changed in the kernel, unless somebody else changed them meanwhile', async () => {
    const child = spawnTied('/bin/sleep', ['60'], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    const pid = child.pid!;
    setScheduling(pid, { policy: 'fifo', priority: 3, resetOnFork: true });
    const turn = new RtThrottleGuard(pid, 3);
    const pass = (share: number) => {
      for (let i = 0; i < 1_100; i++) turn.tick(share * 1e6, 1e6);
      const { policy, nice } = getScheduling(pid);
      return policy === 'fifo' ? policy : `nice ${nice}`;
    };
    expect(pass(1)).to.equal(`nice ${NF.fallbackNice}`);
    expect(pass(0.2)).to.equal('fifo');
    expect(pass(1)).to.equal(`nice ${NF.fallbackNice}`);
    setScheduling(pid, { policy: 'other', nice: 4 });
    expect(pass(0.2)).to.equal('nice 4');
    child.kill('SIGKILL');
    await ended;
    // Of a thread that is gone nothing is asked.
    turn.tick(1e9, 1e9);
  });
});
