/**
 * What is left after an attack: each hostile function of the bench is called without pause beside a real NF under
 * traffic, in a real agent. After each the NF has the scheduling that it is protected with and has lost no packet, and
 * the agent answers; after the agent's end, also by kill -9 in the middle of all attacks, the NF has its own scheduling
 * and nothing stays.
 */

import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { HOSTILE } from '../../bench/hostile.js';
import { codeOf } from '../../bench/workloads.js';
import { createTestbed, type Testbed } from '../../src/lab/testbed.js';
import { listPids } from '../../src/linux/process.js';
import { getScheduling } from '../../src/linux/sched.js';
import { RealAgent } from '../support/real-agent.js';
import { isGone, until } from '../support/waiting.js';

const NF_CORE = 1;
const PACKETS_PER_S = 10_000;
const CALLERS = 2;
/** Of traffic beside each attack. */
const SECONDS = 1;
/** Users that sandboxes run as, of all engines. */
const FIRST_UID = 61_000;
const LAST_UID = 65_000;

describe('what an attack leaves behind', function () {
  this.timeout(120_000);
  let bed: Testbed;
  let agent: RealAgent;
  let uidsBefore = new Set<number>();

  before(async () => {
    uidsBefore = new Set(sandboxPids());
    bed = await createTestbed({ nfProfile: 'firewall', mode: 'sleep', cpu: NF_CORE, housekeepingCpu: 0 });
    agent = new RealAgent({
      cores: { functions: [NF_CORE], housekeeping: [0] },
      pool: { stems: 1, warmPerFunction: 1 },
      nfs: [
        { profile: 'firewall', match: { args: '^nemo-nf-firewall( |$)' }, overrides: { sloP99Us: 2_000 } },
      ],
    });
    await agent.start();
    await agent.untilEvent((event) => event.kind === 'nf-protected');
    await agent.deploy('neighbour', 'export default (event) => ({ got: event });');
    await bed.traffic.run({ kind: 'rate', packetsPerS: PACKETS_PER_S });
  });
  after(async () => {
    await agent.close();
    await bed.close();
  });

  const attack = async (name: string): Promise<{ stop(): Promise<void> }> => {
    const { options = {}, query = '' } = HOSTILE[name]!;
    const reply = await agent.deploy(name, await codeOf(HOSTILE[name]!), options);
    expect(reply.status, await reply.text()).to.be.below(300);
    let running = true;
    const loop = async (): Promise<void> => {
      while (running) {
        const answer = await agent
          .fetch(`/function/${name}${query}`, { method: 'POST' })
          .catch(() => undefined);
        if (answer === undefined) return;
        await answer.arrayBuffer().catch(() => undefined);
      }
    };
    const loops = Array.from({ length: CALLERS }, loop);
    return {
      async stop() {
        running = false;
        await Promise.all(loops);
      },
    };
  };

  /** The agent's own word would not do. */
  const expectGuarded = async (): Promise<void> => {
    expect(getScheduling(bed.nfPid)).to.include({ policy: 'fifo', priority: 50 });
    const { nfs } = await agent.status();
    expect(nfs.map(({ pid }) => pid)).to.deep.equal([bed.nfPid]);
  };

  for (const name of Object.keys(HOSTILE)) {
    it(`${name}: ${HOSTILE[name]!.about}`, async () => {
      const attacking = await attack(name);
      const { lost, missedByReceiver } = await bed.traffic.measure(SECONDS);
      expect(await agent.call('neighbour', '1')).to.include({ status: 200, body: '{"got":"1"}' });
      await attacking.stop();
      await expectGuarded();
      expect(lost - missedByReceiver).to.equal(0);
      const deleted = await agent.fetch(`/v1/functions/${name}`, { method: 'DELETE' });
      expect(deleted.status).to.be.below(300);
      await agent.until((frame) => frame.functions.every((one) => one.name !== name));
      expect(await agent.call('neighbour', '2')).to.include({ status: 200, body: '{"got":"2"}' });
    });
  }

  it('all of them at once, and the agent killed in the middle', async () => {
    const attacks = [];
    for (const name of Object.keys(HOSTILE)) attacks.push(await attack(name));
    await bed.traffic.measure(SECONDS);
    await expectGuarded();
    const members = agent.members();
    expect(members.length).to.be.above(0);
    await agent.end('SIGKILL');
    await Promise.all(attacks.map((one) => one.stop()));
    await until(() => members.every(isGone));
    await until(() => agent.groups().length === 0);
    await until(() => getScheduling(bed.nfPid).policy === 'other');
    await until(() => !existsSync(agent.journal));
    await until(() => sandboxPids().every((pid) => uidsBefore.has(pid)));
    const { received } = await bed.traffic.measure(SECONDS);
    expect(received).to.be.above(0);
  });
});

/** Processes of sandboxes' users that run, whoever started them. */
function sandboxPids(): number[] {
  return listPids().filter((pid) => {
    try {
      const uid = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
      return uid >= FIRST_UID && uid < LAST_UID && !isGone(pid);
    } catch {
      return false;
    }
  });
}
