/**
 * An NF that its operator moves to another core while functions run there, under traffic: what is protected, throttled
 * and harvested moves with it, and the owner of a function that hurt it hears of it.
 */

import { expect } from 'chai';
import { createTestbed, type Testbed } from '../../src/lab/testbed.js';
import { getScheduling, setAffinity } from '../../src/linux/sched.js';
import type { FeedFrame } from '../../src/model/feed.js';
import { nemo, RealAgent } from '../support/real-agent.js';
import { letTimePass } from '../support/waiting.js';

const SPIN = 'export default () => { for (;;); };';
const NF_CORE = 1;
const OTHER_CORE = 0;

describe('an NF that changes its core', function () {
  this.timeout(180_000);
  let bed: Testbed;
  let agent: RealAgent;

  before(async () => {
    bed = await createTestbed({
      nfProfile: 'firewall',
      mode: 'sleep',
      cpu: NF_CORE,
      housekeepingCpu: OTHER_CORE,
    });
    agent = new RealAgent({
      cores: { functions: [OTHER_CORE, NF_CORE], housekeeping: [OTHER_CORE] },
      pool: { stems: 1, warmPerFunction: 1 },
      // No NF can hold an SLO of a microsecond, so every packet is a conflict.
      nfs: [{ profile: 'firewall', match: { args: '^nemo-nf-firewall( |$)' }, overrides: { sloP99Us: 1 } }],
    });
    await agent.start();
    await agent.untilEvent((event) => event.kind === 'nf-protected');
  });
  after(async () => {
    await agent.close();
    await bed.close();
  });

  const core = (frame: FeedFrame, number: number) => frame.cores.find((one) => one.core === number)!;
  const roles = (frame: FeedFrame) => [core(frame, OTHER_CORE).role, core(frame, NF_CORE).role];
  const calls: Array<Promise<unknown>> = [];

  it('is guarded on the one, then on the other, and what was throttled for it is given back', async () => {
    await agent.deploy('quick', 'export default () => "there";');
    // On both, before the first packet: nobody is given to a core whose SLO is known to be missed. What deploys make
    // the housekeeping core do may keep the first ones from it.
    await agent.deploy('spin', SPIN, { timeout: '60s' });
    while (!(await agent.status()).cores.every(({ running }) => running.length > 0)) {
      calls.push(agent.call('spin').catch(() => undefined));
      // The next goes where the last one is not, once that runs.
      await letTimePass(500);
    }
    await bed.traffic.run({ kind: 'rate', packetsPerS: 5_000 });
    await agent.until((frame) => core(frame, NF_CORE).throttleLevel > 0);

    setAffinity(bed.nfPid, [OTHER_CORE]);
    await agent.untilEvent((event) => event.kind === 'nf-found' && /changed.*core 0/.test(event.message));
    const moved = await agent.until((frame) => roles(frame).join() === 'nf,free');
    expect(moved.nfs[0]!.cores).to.deep.equal([OTHER_CORE]);
    // Another agent of this machine may have been first.
    expect(moved.nfs[0]!.protection).to.match(/fifo:50$/);
    expect(getScheduling(bed.nfPid)).to.include({ policy: 'fifo', priority: 50 });
    await agent.until((frame) => core(frame, NF_CORE).throttleLevel === 0);
    await agent.until((frame) => core(frame, OTHER_CORE).throttleLevel > 0);

    setAffinity(bed.nfPid, [NF_CORE]);
    await agent.until((frame) => roles(frame).join() === 'free,nf');
    await agent.until((frame) => core(frame, OTHER_CORE).throttleLevel === 0);
    expect(getScheduling(bed.nfPid)).to.include({ policy: 'fifo', priority: 50 });
    expect(await agent.call('quick')).to.include({ body: 'there' });
  });

  it('has the owner of the function that ran beside it told, in its description and in its log', async () => {
    await agent.until(
      (frame) => (frame.functions.find(({ name }) => name === 'spin')?.blame?.times ?? 0) > 0,
    );
    const described = await nemo(['describe', 'spin', '--agent', agent.url]);
    expect(described.out).to.match(/^conflicts +to blame \d+ times/m);
    const logged = await nemo(['logs', 'spin', '--agent', agent.url]);
    expect(logged.out).to.match(/! nemo: slowed packets on core \d: /);
    await agent.end('SIGKILL');
    await Promise.all(calls);
  });
});
