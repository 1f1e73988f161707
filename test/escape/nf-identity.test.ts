/**
 * What calls itself an NF and is none: functions, users of this box, programs that somebody else may write. A real NF
 * is started after each of them, and only when the agent has found that one is it known to have looked at the impostor.
 */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { getScheduling } from '../../src/linux/sched.js';
import type { FeedFrame } from '../../src/model/feed.js';
import { startVictim, type Victim } from '../nf/victim.js';
import { RealAgent } from '../support/real-agent.js';
import { IMPOSTOR_RUNS_HERE, impostorProgram } from './support/impostor.js';

const FUNCTION_CORE = 1;

describe('an NF is what root runs, not what calls itself one', function () {
  this.timeout(60_000);
  let agent: RealAgent;
  const decoys: Victim[] = [];

  before(async () => {
    agent = await new RealAgent({
      discovery: true,
      cores: { functions: [FUNCTION_CORE], housekeeping: [0] },
      pool: { stems: 0 },
    }).start();
  });
  after(() => agent.close());
  afterEach(async () => {
    for (const decoy of decoys.splice(0)) await decoy.end();
  });

  /** The agent has looked at every process that runs now, at least twice. */
  const lookedAround = async (): Promise<FeedFrame> => {
    for (const name of ['nat', 'lb']) {
      const decoy = await startVictim(`nemo-nf-${name}`);
      decoys.push(decoy);
      await agent.until((frame) => frame.nfs.some((nf) => nf.pid === decoy.pid));
    }
    return agent.status();
  };
  const policies = (pids: number[]): string[] =>
    pids.flatMap((pid) =>
      readdirSync(`/proc/${pid}/task`).map((tid) => {
        const { policy, nice } = getScheduling(Number(tid));
        return `${policy} ${nice}`;
      }),
    );

  it('a function that takes the name of a reference NF stays a function, at SCHED_IDLE', async () => {
    await agent.deploy(
      'impostor',
      `process.title = 'nemo-nf-firewall';
       export default () => process.title;`,
    );
    expect(await agent.call('impostor')).to.include({ status: 200, body: 'nemo-nf-firewall' });
    const members = agent.members();
    const titled = members.filter((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('nemo-nf-firewall'),
    );
    expect(titled).to.not.have.length(0);
    const { nfs } = await lookedAround();
    expect(nfs.filter(({ pid }) => members.includes(pid))).to.deep.equal([]);
    expect([...new Set(policies(titled))]).to.deep.equal(['idle 0']);
  });

  it('a program of a function that looks like Open vSwitch is never run as root', async function () {
    if (!IMPOSTOR_RUNS_HERE) this.skip();
    const folder = mkdtempSync('/var/tmp/nemo-marker-');
    try {
      const marker = join(folder, 'was-root');
      const program = impostorProgram(marker).toString('base64');
      await agent.deploy(
        'switch',
        `import { spawn } from 'node:child_process';
         import { writeFileSync } from 'node:fs';
         const file = '/tmp/ovs-vswitchd';
         writeFileSync(file, Buffer.from('${program}', 'base64'), { mode: 0o755 });
         const child = spawn(file, [], { stdio: 'ignore' });
         const started = await new Promise((resolve) => {
           child.once('spawn', () => resolve('runs'));
           child.once('error', (error) => resolve(error.message));
         });
         export default () => started;`,
      );
      expect(await agent.call('switch')).to.include({ status: 200, body: 'runs' });
      const members = agent.members();
      const comms = members.map((pid) => readFileSync(`/proc/${pid}/comm`, 'latin1').trim());
      expect(comms).to.include('pmd-c01');
      const { nfs } = await lookedAround();
      expect(existsSync(marker)).to.equal(false);
      expect(nfs.filter(({ pid }) => members.includes(pid))).to.deep.equal([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
