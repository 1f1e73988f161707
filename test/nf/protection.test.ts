import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { startTicks } from '../../src/linux/process.js';
import { getScheduling, setScheduling } from '../../src/linux/sched.js';
import type { NfInstance, NfProfile } from '../../src/model/nf-profile.js';
import { guardianDone } from '../../src/nf/guardian.js';
import { NfProtection } from '../../src/nf/protection.js';
import { journalPath, restoreLeftovers, writeJournal } from '../../src/nf/protection-journal.js';
import { isGone, until, untilGone } from '../support/waiting.js';
import { startProgram, startVictim, type Victim } from './victim.js';

const FIFO: NfProfile['protection'] = { kind: 'fifo', value: 50 };

function instance(victim: Victim, tids: readonly number[], protection: NfProfile['protection']): NfInstance {
  return {
    id: `probe-${victim.pid}`,
    profile: {
      name: 'probe',
      title: 'probe',
      match: { process: 'probe' },
      mode: 'sleep',
      sloP99Us: 100,
      latency: { source: 'none' },
      protection,
      harvest: true,
    },
    pid: victim.pid,
    startTicks: startTicks(victim.pid)!,
    uid: 0,
    threads: tids.map((tid) => ({ tid, name: 'packet', packet: true, cores: [0] })),
    cores: [0],
  };
}

describe('protection of an NF', () => {
  let victim: Victim;
  let stateDir: string;
  let journal: string;
  /** Everything about the scheduling of the packet threads, to be compared with later. */
  const now = () => victim.tids.map((tid) => getScheduling(tid));

  beforeEach(async () => {
    stateDir = mkdtempSync(join(tmpdir(), 'nemo-protection-'));
    journal = journalPath(stateDir);
    victim = await startVictim(`nfp-${process.pid}`, 2);
    // Not what a thread is born with: only then does putting back mean anything.
    setScheduling(victim.tids[0]!, { policy: 'other', nice: -3 });
    setScheduling(victim.tids[1]!, { policy: 'batch', nice: 4 });
  });
  afterEach(async () => {
    await victim.end();
    rmSync(stateDir, { recursive: true });
  });

  it('gives the packet threads FIFO that their children do not inherit, and puts their own back', async () => {
    const before = now();
    const protection = await NfProtection.start(stateDir);
    try {
      const nf = instance(victim, victim.tids, FIFO);
      expect(protection.protect(nf)).to.deep.equal({ applied: 'fifo:50', warnings: [] });
      for (const { policy, priority, resetOnFork } of now())
        expect({ policy, priority, resetOnFork }).to.deep.equal({
          policy: 'fifo',
          priority: 50,
          resetOnFork: true,
        });
      expect(getScheduling(victim.pid).policy).to.equal('other');
      expect(protection.protect(nf).applied).to.equal('fifo:50');
      protection.release(nf.id);
      expect(now()).to.deep.equal(before);
      expect(existsSync(journal)).to.equal(false);
    } finally {
      await protection.close();
    }
  });

  it('follows the NF when its packet threads change', async () => {
    const before = now();
    const protection = await NfProtection.start(stateDir);
    try {
      protection.protect(instance(victim, [victim.tids[0]!], FIFO));
      protection.protect(instance(victim, [victim.tids[1]!], FIFO));
      expect(getScheduling(victim.tids[0]!)).to.deep.equal(before[0]);
      expect(getScheduling(victim.tids[1]!).policy).to.equal('fifo');
    } finally {
      await protection.close();
    }
    expect(now()).to.deep.equal(before);
  });

  it('leaves real-time scheduling of the NF itself alone', async () => {
    setScheduling(victim.tids[0]!, { policy: 'rr', priority: 80 });
    const protection = await NfProtection.start(stateDir);
    try {
      expect(protection.protect(instance(victim, [victim.tids[0]!], FIFO)).applied).to.equal('own:rr:80');
      expect(getScheduling(victim.tids[0]!)).to.include({ policy: 'rr', priority: 80 });
    } finally {
      await protection.close();
    }
    expect(getScheduling(victim.tids[0]!)).to.include({ policy: 'rr', priority: 80 });
  });

  it('uses the nice value where FIFO is refused, and says so', async function () {
    const group = `/sys/fs/cgroup/cpu/nemo-profiles-${process.pid}`;
    if (!existsSync('/sys/fs/cgroup/cpu/cpu.rt_runtime_us')) this.skip();
    mkdirSync(group);
    try {
      const before = now();
      for (const tid of victim.tids) writeFileSync(join(group, 'tasks'), String(tid));
      const protection = await NfProtection.start(stateDir);
      try {
        const report = protection.protect(instance(victim, victim.tids, FIFO));
        expect(report.applied).to.equal('nice:-15');
        expect(report.warnings[0]).to.match(
          /^thread \d+ of probe-\d+ has nice -15 instead of FIFO: .*cpu.rt_runtime_us/,
        );
        expect(now().map(({ policy, nice }) => [policy, nice])).to.deep.equal([
          ['other', -15],
          ['other', -15],
        ]);
      } finally {
        await protection.close();
      }
      expect(now()).to.deep.equal(before);
    } finally {
      await victim.end();
      await until(() => readFileSync(join(group, 'tasks'), 'utf8') === '');
      rmdirSync(group);
    }
  });

  describe('when the agent is killed', () => {
    const startAgent = async () => {
      const nf = instance(victim, victim.tids, FIFO);
      const { child, first } = await startProgram('protector', [JSON.stringify(nf), stateDir]);
      return { agent: child, guardianPid: (first as { guardianPid: number }).guardianPid };
    };

    it('the guardian puts the scheduling back, without another agent', async () => {
      const before = now();
      const { agent, guardianPid } = await startAgent();
      expect(now().map((scheduling) => scheduling.policy)).to.deep.equal(['fifo', 'fifo']);
      agent.kill('SIGKILL');
      await untilGone(guardianPid);
      expect(now()).to.deep.equal(before);
      expect(existsSync(journal)).to.equal(false);
    });

    it('the guardian survives the polite signals that a service manager sends', async () => {
      const before = now();
      const { agent, guardianPid } = await startAgent();
      for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.kill(guardianPid, signal);
      agent.kill('SIGKILL');
      await untilGone(guardianPid);
      expect(now()).to.deep.equal(before);
    });

    it('and its guardian too, the next start puts it back', async () => {
      const before = now();
      const { agent, guardianPid } = await startAgent();
      process.kill(guardianPid, 'SIGSTOP');
      agent.kill('SIGKILL');
      await once(agent, 'exit');
      expect(await guardianDone(agent.pid!, 50)).to.equal(false);
      process.kill(guardianPid, 'SIGKILL');
      expect(await guardianDone(agent.pid!)).to.equal(true);
      expect(now().map((scheduling) => scheduling.policy)).to.deep.equal(['fifo', 'fifo']);
      const next = await NfProtection.start(stateDir);
      expect(next.restoredAtStart).to.equal(2);
      expect(now()).to.deep.equal(before);
      await next.close();
    });

    it('a guardian that wakes late does not undo what the next agent did', async () => {
      const { agent, guardianPid } = await startAgent();
      process.kill(guardianPid, 'SIGSTOP');
      agent.kill('SIGKILL');
      await once(agent, 'exit');
      const next = await NfProtection.start(stateDir);
      try {
        next.protect(instance(victim, victim.tids, FIFO));
        process.kill(guardianPid, 'SIGCONT');
        await untilGone(guardianPid);
        expect(now().map((scheduling) => scheduling.policy)).to.deep.equal(['fifo', 'fifo']);
        expect(existsSync(journal)).to.equal(true);
      } finally {
        await next.close();
      }
    });

    it('an orderly end leaves neither a guardian nor a journal', async () => {
      const before = now();
      const { agent, guardianPid } = await startAgent();
      agent.stdin!.end();
      await once(agent, 'exit');
      await untilGone(guardianPid);
      expect(now()).to.deep.equal(before);
      expect(existsSync(journal)).to.equal(false);
    });
  });

  it('a guardian that is killed is replaced', async () => {
    const protection = await NfProtection.start(stateDir);
    try {
      const first = protection.guardianPid;
      process.kill(first, 'SIGKILL');
      await until(() => protection.guardianPid !== 0 && protection.guardianPid !== first);
      expect([isGone(first), isGone(protection.guardianPid)]).to.deep.equal([true, false]);
    } finally {
      await protection.close();
    }
  });

  it('a thread that only has the same id is not touched', () => {
    const tid = victim.tids[0]!;
    const before = getScheduling(tid);
    writeJournal(journal, [
      { tid, startTicks: startTicks(tid)! - 1, policy: 'batch', priority: 0, nice: 9, resetOnFork: false },
    ]);
    expect(restoreLeftovers(journal)).to.equal(0);
    expect(getScheduling(tid)).to.deep.equal(before);
  });

  it('a file that is no journal is refused by name', () => {
    writeFileSync(journal, '{"threads":[{"tid":"1; reboot"}]}');
    expect(() => restoreLeftovers(journal))
      .to.throw(journal)
      .with.property('code', 'STORE');
  });
});
