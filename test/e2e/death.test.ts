/**
 * Deaths in a real agent beside a real NF: of the NF, and of the agent itself. Whatever dies, the NF keeps or gets
 * back its own scheduling, and nothing of the dead agent stays.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createTestbed, type Testbed } from '../../src/lab/testbed.js';
import { getScheduling } from '../../src/linux/sched.js';
import { RealAgent } from '../support/real-agent.js';
import { isGone, until } from '../support/waiting.js';

const SPIN = 'export default () => { for (;;); };';
const NF_CORE = 1;

describe('deaths on a box', function () {
  this.timeout(120_000);
  let bed: Testbed;
  let agent: RealAgent;
  /** Only this test's NF, with an SLO of our choice. */
  const config = (sloP99Us = 1000) => ({
    cores: { functions: [NF_CORE], housekeeping: [0] },
    pool: { stems: 1, warmPerFunction: 1 },
    nfs: [{ profile: 'firewall', match: { args: '^nemo-nf-firewall( |$)' }, overrides: { sloP99Us } }],
  });

  beforeEach(async () => {
    bed = await createTestbed({ nfProfile: 'firewall', mode: 'sleep', cpu: NF_CORE, housekeepingCpu: 0 });
    agent = new RealAgent(config());
  });
  afterEach(async () => {
    await agent.close();
    await bed.close();
  });

  /** Nothing of the agent is left: no process, no group, no journal, the NF as it was. */
  const expectNothingLeft = async (members: number[]): Promise<void> => {
    expect(members).to.not.have.length(0);
    await until(() => members.every(isGone));
    await until(() => agent.groups().length === 0);
    await until(() => getScheduling(bed.nfPid).policy === 'other');
    await until(() => !existsSync(agent.journal));
  };

  it('sees an NF die and come back, and protects it again', async () => {
    await agent.start();
    await agent.untilEvent((event) => event.kind === 'nf-protected');
    expect(getScheduling(bed.nfPid)).to.include({ policy: 'fifo', priority: 50 });
    const before = bed.nfPid;
    await bed.restartNf();
    await agent.untilEvent(
      (event) => event.kind === 'nf-gone' || (event.kind === 'nf-found' && /restarted/.test(event.message)),
    );
    await agent.untilEvent((event) => event.kind === 'nf-protected' && !event.nf!.endsWith(String(before)));
    expect(getScheduling(bed.nfPid)).to.include({ policy: 'fifo', priority: 50 });
  });

  it('says that an NF is gone whose interface was taken away', async () => {
    await agent.start();
    await agent.untilEvent((event) => event.kind === 'nf-protected');
    const ended = bed.nfEnded();
    await bed.nfNamespace.run('ip', ['link', 'del', 'n0']);
    expect((await ended)?.code).to.be.oneOf(['INTERFACE_GONE', 'NO_SUCH_INTERFACE']);
    const event = await agent.untilEvent((one) => one.kind === 'nf-gone');
    expect(event.severity).to.equal('warning');
    expect((await agent.status()).nfs).to.deep.equal([]);
  });

  it('leaves nothing when it is killed, and its functions are there when it comes back', async () => {
    await agent.start();
    await agent.untilEvent((event) => event.kind === 'nf-protected');
    await agent.deploy('spin', SPIN);
    const called = agent.call('spin').catch(() => undefined);
    await agent.until((frame) => (frame.functions[0]?.inFlight ?? 0) > 0);
    const members = agent.members();
    expect(members).to.not.have.length(0);
    await agent.end('SIGKILL');
    await called;
    await expectNothingLeft(members);

    await agent.start();
    expect((await agent.status()).functions.map((fn) => fn.name)).to.deep.equal(['spin']);
    await agent.deploy('spin', 'export default () => "back";');
    expect(await agent.call('spin')).to.include({ status: 200, body: 'back' });
  });

  it('leaves nothing when it is killed while its sandboxes are frozen', async () => {
    // No NF can hold an SLO of a microsecond, so every packet is a conflict.
    agent.configure(config(1));
    await agent.start();
    await agent.untilEvent((event) => event.kind === 'nf-protected');
    await agent.deploy('spin', SPIN);
    const called = agent.call('spin').catch(() => undefined);
    await agent.until((frame) => (frame.functions[0]?.inFlight ?? 0) > 0);
    await bed.traffic.run({ kind: 'rate', packetsPerS: 5_000 });
    await agent.untilEvent((event) => event.kind === 'throttle' && event.toLevel === 4);
    const members = agent.members();
    await agent.end('SIGKILL');
    await called;
    await expectNothingLeft(members);
  });

  it('has what does not end by itself ended: a process whose parent died before it could tie itself to it', async () => {
    await agent.start();
    await agent.deploy('spin', SPIN);
    await agent.until((frame) => (frame.functions[0]?.sandboxes.length ?? 0) > 0);
    const stray = spawn('sleep', ['600'], { stdio: 'ignore' });
    try {
      for (const group of agent.groups()) {
        const sandbox = readdirSync(group).find((name) => name.startsWith('sb-'));
        if (sandbox !== undefined) writeFileSync(join(group, sandbox, 'cgroup.procs'), `${stray.pid}`);
      }
      expect(agent.members()).to.include(stray.pid);
      const gone = once(stray, 'exit');
      await agent.end('SIGKILL');
      await gone;
      await until(() => agent.groups().length === 0);
    } finally {
      stray.kill('SIGKILL');
    }
  });

  it('leaves no group when its folders go with it', async () => {
    await agent.start();
    await agent.deploy('spin', SPIN);
    await agent.until((frame) => (frame.functions[0]?.sandboxes.length ?? 0) > 0);
    const members = agent.members();
    expect(members).to.not.have.length(0);
    const gone = agent.end('SIGKILL');
    rmSync(agent.folder, { recursive: true, force: true });
    await gone;
    await until(() => members.every(isGone));
    await until(() => agent.groups().length === 0);
  });

  for (const [how, end] of [
    ['SIGTERM', () => agent.end('SIGTERM')],
    ['Ctrl-C in its terminal', () => agent.interrupt()],
  ] as const) {
    it(`stops cleanly on ${how}: a running call is answered, nothing is left`, async () => {
      await agent.start();
      await agent.untilEvent((event) => event.kind === 'nf-protected');
      const code = 'export default () => new Promise((resolve) => setTimeout(() => resolve("done"), 500));';
      await agent.deploy('slow', code);
      const called = agent.call('slow');
      await agent.until((frame) => (frame.functions[0]?.inFlight ?? 0) > 0);
      const members = agent.members();
      expect(await end()).to.equal(0);
      expect(await called).to.include({ status: 200, body: 'done' });
      expect(members.filter((pid) => !isGone(pid))).to.deep.equal([]);
      await expectNothingLeft(members);
    });
  }
});
