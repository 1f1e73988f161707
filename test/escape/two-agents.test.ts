/**
 * Two agents on one box, and strangers between them: an NF and its core belong to one at a time, nobody can take an
 * agent's name away, and whoever leaves last leaves the NF as its owner started it.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { UserConfig } from '../../src/config/config-schema.js';
import { AGENTS_FOLDER, agentNames, lockAgent } from '../../src/guard/agent-lock.js';
import { createTestbed, type Testbed } from '../../src/lab/testbed.js';
import { startTicks } from '../../src/linux/process.js';
import { getScheduling, setScheduling } from '../../src/linux/sched.js';
import { endProcess } from '../../src/linux/tied-process.js';
import { Guardian } from '../../src/nf/guardian.js';
import { journalPath, writeJournal } from '../../src/nf/protection-journal.js';
import { startVictim } from '../nf/victim.js';
import { RealAgent } from '../support/real-agent.js';
import { until } from '../support/waiting.js';

const NOBODY = 65534;
const NF_CORE = 1;

describe('two agents on one NF', function () {
  this.timeout(60_000);
  let bed: Testbed;
  let agents: RealAgent[];
  const start = async (functionCore: number): Promise<RealAgent> => {
    const config: UserConfig = {
      cores: { functions: [functionCore], housekeeping: [0] },
      pool: { stems: 0 },
      nfs: [{ profile: 'firewall', match: { args: '^nemo-nf-firewall( |$)' } }],
    };
    const agent = new RealAgent(config);
    agents.push(agent);
    return agent.start();
  };
  const harvest = async (agent: RealAgent) => (await agent.status()).nfs[0]?.harvest;
  const guards = (agent: RealAgent) =>
    agent.untilEvent(({ kind, nf }) => kind === 'nf-protected' && nf === `firewall-${bed.nfPid}`);

  beforeEach(async () => {
    agents = [];
    bed = await createTestbed({ nfProfile: 'firewall', mode: 'sleep', cpu: NF_CORE, housekeepingCpu: 0 });
    // Not what a thread is born with: only then does putting back mean anything.
    setScheduling(bed.nfPid, { policy: 'batch', nice: -3 });
  });
  afterEach(async () => {
    for (const agent of agents) await agent.close();
    await bed.close();
  });

  for (const [how, signal] of [
    ['leaves', 'SIGTERM'],
    ['is killed', 'SIGKILL'],
  ] as const) {
    it(`the second takes over when the first ${how}, and the NF gets back what was its own before both`, async () => {
      const own = getScheduling(bed.nfPid);
      const first = await start(NF_CORE);
      await guards(first);
      const second = await start(NF_CORE);
      const { message } = await second.untilEvent((event) => /is left to the agent/.test(event.message));
      expect(message).to.equal(`firewall-${bed.nfPid} is left to the agent ${first.name}`);
      expect(await harvest(second)).to.deep.equal({
        how: 'not',
        why: `it belongs to the agent ${first.name}`,
      });
      // Its functions keep off the other's NF core.
      await second.untilEvent((event) =>
        event.message.startsWith(`core ${NF_CORE} is an NF core of the agent`),
      );
      await second.deploy('hello', 'export default () => "hello";');
      expect(await second.call('hello')).to.include({ status: 200, body: 'hello' });
      expect((await second.status()).functions[0]!.sandboxes.map(({ core }) => core)).to.not.include(NF_CORE);
      expect(await harvest(first)).to.deep.equal({ how: 'sleep' });

      await first.end(signal);
      await guards(second);
      expect(getScheduling(bed.nfPid)).to.include({ policy: 'fifo', priority: 50 });
      expect(await harvest(second)).to.deep.equal({ how: 'sleep' });
      await second.end('SIGTERM');
      expect(getScheduling(bed.nfPid)).to.deep.equal(own);
    });
  }

  it('one that only watches an NF leaves it to one that harvests its core', async () => {
    const own = getScheduling(bed.nfPid);
    const watcher = await start(0);
    await guards(watcher);
    const harvester = await start(NF_CORE);
    await watcher.untilEvent((event) => /is left to the agent/.test(event.message));
    await guards(harvester);
    expect(await harvest(harvester)).to.deep.equal({ how: 'sleep' });
    expect(getScheduling(bed.nfPid)).to.include({ policy: 'fifo', priority: 50 });
    await watcher.end('SIGTERM');
    expect(getScheduling(bed.nfPid)).to.include({ policy: 'fifo', priority: 50 });
    await harvester.end('SIGTERM');
    expect(getScheduling(bed.nfPid)).to.deep.equal(own);
  });
});

describe('the name of an agent', () => {
  it('cannot be taken by a user, who may listen at any abstract name', async () => {
    const agent = new RealAgent();
    const squat = `require('node:net').createServer().listen('\\0nemo-agent-${agent.name}', () => console.log('has it'))`;
    const squatter: ChildProcess = spawn(process.execPath, ['-e', squat], {
      uid: NOBODY,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(squatter.stdout!, 'data');
      await agent.start();
      expect((await agent.status()).nfs).to.deep.equal([]);
    } finally {
      await agent.close();
      await endProcess(squatter);
    }
  });

  it('is locked where only root can make files, and listed until nothing of that agent is left', async () => {
    const agent = await new RealAgent({ pool: { stems: 1 } }).start();
    const { uid, mode } = statSync(AGENTS_FOLDER);
    expect([uid, mode & 0o777]).to.deep.equal([0, 0o700]);
    expect(agentNames()).to.include(agent.name);
    await agent.end('SIGKILL');
    expect(agentNames()).to.include(agent.name);
    await until(() => agent.groups().length === 0);
    lockAgent(`${agent.name}-next`).release();
    expect(agentNames()).to.not.include(agent.name);
    await agent.close();
  });

  it('one process holds it, and it is free when that ends, however it does', async () => {
    const folder = mkdtempSync('/run/nemo-test-');
    try {
      const lock = lockAgent('mine', folder);
      expect(() => lockAgent('mine', folder))
        .to.throw(/already runs/)
        .with.property('code', 'AGENT_RUNNING');
      lock.release();
      const script = `import { lockAgent } from ${JSON.stringify(new URL('../../src/guard/agent-lock.js', import.meta.url).href)};
        lockAgent('mine', ${JSON.stringify(folder)}); console.log('has it'); setInterval(() => {}, 1000);`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout!, 'data');
      expect(() => lockAgent('mine', folder)).to.throw(/already runs/);
      await endProcess(child);
      lockAgent('mine', folder).release();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is not locked in a folder where others can write', () => {
    const folder = mkdtempSync('/var/tmp/nemo-locks-');
    try {
      chmodSync(folder, 0o777);
      expect(() => lockAgent('mine', folder)).to.throw(/others than root may write/);
      chmodSync(folder, 0o700);
      chownSync(folder, NOBODY, NOBODY);
      expect(() => lockAgent('mine', folder)).to.throw(new RegExp(`belongs to user ${NOBODY}`));
      expect(() => lockAgent('mine', join(folder, 'deeper'))).to.throw(/belongs to user/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the guardian of a killed agent', () => {
  it('stops where the next agent has come, whose journal and whose NF it leaves alone', async () => {
    const folder = mkdtempSync('/var/tmp/nemo-guardian-');
    const journal = journalPath(folder);
    const nf = await startVictim(`nfg-${process.pid}`, 1);
    try {
      const [last = 0] = nf.tids;
      const before = getScheduling(last);
      const entryOf = (tid: number) => ({
        ...{ tid, startTicks: startTicks(tid)!, policy: 'batch' as const },
        ...{ priority: 0, nice: 5, resetOnFork: false },
      });
      // An NF of many threads keeps it busy.
      writeJournal(journal, [...Array(200).fill(entryOf(nf.pid)), entryOf(last)]);
      const guardian = await Guardian.watch({ journal });
      const done = guardian.close();
      await until(() => getScheduling(nf.pid).policy === 'batch');
      const next = '{"agent":1,"threads":[\n]}\n';
      writeFileSync(join(folder, 'next'), next);
      renameSync(join(folder, 'next'), journal);
      await done;
      expect(readFileSync(journal, 'utf8')).to.equal(next);
      expect(getScheduling(last)).to.deep.equal(before);
    } finally {
      await nf.end();
      rmSync(folder, { recursive: true });
    }
  });
});
