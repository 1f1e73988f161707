import { once } from 'node:events';
import { cpus } from 'node:os';
import { expect } from 'chai';
import { processStat } from '../../src/linux/process.js';
import { setAffinity } from '../../src/linux/sched.js';
import type { NfProfile } from '../../src/model/nf-profile.js';
import { Discovery, discover } from '../../src/nf/discovery.js';
import { BUILTIN_PROFILES, loadProfiles } from '../../src/nf/profiles.js';
import { type NfChange, NfWatcher } from '../../src/nf/watcher.js';
import { until } from '../support/waiting.js';
import { startVictim, type Victim } from './victim.js';

/** Unique, so that no other test's processes are found; short, as comm holds 15 characters. */
const TITLE = `nft-${process.pid}`;

function profile(more: Partial<NfProfile> = {}): NfProfile {
  return {
    name: 'probe',
    title: 'probe',
    match: { process: `^${TITLE}$` },
    mode: 'sleep',
    sloP99Us: 100,
    latency: { source: 'none' },
    protection: { kind: 'none' },
    harvest: true,
    ...more,
  };
}

describe('NF discovery', () => {
  const victims: Victim[] = [];
  const start = async (title: string, workers = 0, ...more: string[]) => {
    const victim = await startVictim(title, workers, ...more);
    victims.push(victim);
    return victim;
  };
  afterEach(async () => {
    for (const victim of victims.splice(0)) await victim.end();
  });

  it('finds a process by its name, and marks its packet threads by theirs', async () => {
    const { pid, tids } = await start(TITLE, 2);
    const [nf, ...others] = discover([profile({ packetThreads: '^packet-' })]);
    expect(others).to.deep.equal([]);
    expect(nf!.id).to.equal(`probe-${pid}`);
    expect(nf!.threads.filter((thread) => thread.packet).map((thread) => thread.tid)).to.have.members(tids);
    expect(nf!.threads.length).to.be.greaterThan(2);
  });

  it('`main` means the main thread alone', async () => {
    const { pid } = await start(TITLE, 1);
    const [nf] = discover([profile({ packetThreads: 'main' })]);
    expect(nf!.threads.filter((thread) => thread.packet).map((thread) => thread.tid)).to.deep.equal([pid]);
  });

  it('two processes of one profile are two instances', async () => {
    const pids = [(await start(TITLE)).pid, (await start(TITLE)).pid];
    expect(discover([profile()]).map((nf) => nf.pid)).to.have.members(pids);
  });

  it('an NF has cores only if all its packet threads are bound', async function () {
    if (cpus().length < 2) this.skip();
    const { tids } = await start(TITLE, 2);
    const bound = profile({ packetThreads: '^packet-' });
    setAffinity(tids[0]!, [1]);
    expect(discover([bound])[0]!.cores).to.deep.equal([]);
    setAffinity(tids[1]!, [1]);
    expect(discover([bound])[0]!.cores).to.deep.equal([1]);
  });

  it('a process that becomes an NF after it was passed over is found', async () => {
    const { child, pid } = await start('nft-other');
    const discovery = new Discovery([profile()]);
    expect(discovery.scan()).to.deep.equal([]);
    child.stdin!.write(`title ${TITLE}\n`);
    let found = discovery.scan();
    while (found.length === 0) {
      await new Promise(setImmediate);
      found = discovery.scan();
    }
    expect(found[0]!.pid).to.equal(pid);
  });

  it('an NF that was killed is gone, also while its parent leaves it a zombie', async () => {
    const { pid } = await start(TITLE, 0, 'orphan');
    expect(discover([profile()]).map((nf) => nf.pid)).to.deep.equal([pid]);
    process.kill(pid, 'SIGKILL');
    // Its main thread is a zombie before the last of the others has ended.
    await until(() => processStat(pid)!.ended);
    expect(discover([profile()])).to.deep.equal([]);
  });

  it('of a parent and a child that both match, the child is the NF', async () => {
    const { child, pid } = await start(TITLE, 0, 'master');
    expect(child.pid).not.to.equal(pid);
    expect(discover([profile()]).map((nf) => nf.pid)).to.deep.equal([pid]);
    expect(
      discover([profile()], [{ profile: 'probe', pid: child.pid! }]).map((nf) => nf.pid),
    ).to.have.members([child.pid, pid]);
  });

  it('explicit entries name a pid or a pattern, and override the profile', async () => {
    const { pid } = await start(TITLE, 1);
    const other = await start(`${TITLE}x`);
    const profiles = [profile({ name: 'unused', match: { process: '^nothing-like-this$' } })];
    const found = discover(profiles, [
      { profile: 'unused', match: { process: `^${TITLE}x$` }, overrides: { harvest: false } },
      { profile: 'unused', pid, overrides: { sloP99Us: 42, packetThreads: '^packet-' } },
    ]);
    const named = found.find((nf) => nf.pid === pid)!;
    expect(named.profile.sloP99Us).to.equal(42);
    expect(named.threads.filter((thread) => thread.packet)).to.have.length(1);
    expect(found.find((nf) => nf.pid === other.pid)!.profile.harvest).to.equal(false);
    expect(profiles[0]!.sloP99Us).to.equal(100);
  });

  it('an entry for one process that matches two finds neither, and names both', async () => {
    const pids = [(await start(TITLE)).pid, (await start(TITLE)).pid].sort((a, b) => a - b);
    const latency = { source: 'tap' as const, ingress: 'n0', egress: 'n1', invariant: 'ipv4-id' as const };
    const discovery = new Discovery([profile()], [{ profile: 'probe', overrides: { latency } }], {
      byProfile: false,
    });
    expect(discovery.scan()).to.deep.equal([]);
    expect(discovery.ambiguous).to.have.length(1);
    expect(discovery.ambiguous[0]).to.include(`${pids[0]} and ${pids[1]} match it`);
    await victims.pop()!.end();
    expect(discovery.scan()).to.have.length(1);
    expect(discovery.ambiguous).to.deep.equal([]);
    // An SLO may be meant for all of them.
    const shared = new Discovery([profile()], [{ profile: 'probe', overrides: { sloP99Us: 5 } }], {
      byProfile: false,
    });
    await start(TITLE);
    expect(shared.scan()).to.have.length(2);
  });

  it('an entry for a kernel NF without a pid is refused', () => {
    const kernel = profile({ name: 'router', match: { kernel: 'nftables' } });
    expect(() => discover([kernel], [{ profile: 'router' }]))
      .to.throw(/not a process/)
      .with.property('hint');
  });

  it('an entry for an unknown profile says which was probably meant', () => {
    expect(() => discover([profile()], [{ profile: 'prob' }]))
      .to.throw('prob')
      .with.property('hint', 'did you mean probe?');
  });

  it('tells a polling reference NF by its title, and does not protect it by FIFO', async () => {
    const sleeper = await start('nemo-nf-firewall');
    const poller = await start('nemo-nf-firewall poll');
    const found = discover(loadProfiles([BUILTIN_PROFILES]));
    const of = (pid: number) => found.find((nf) => nf.pid === pid)!.profile;
    expect([of(sleeper.pid).mode, of(sleeper.pid).protection.kind]).to.deep.equal(['sleep', 'fifo']);
    expect([of(poller.pid).mode, of(poller.pid).protection.kind]).to.deep.equal(['poll', 'none']);
  });

  describe('the watch', () => {
    let watcher: NfWatcher;
    const changes: NfChange[] = [];
    let wake: () => void = () => undefined;
    const next = async (): Promise<NfChange> => {
      while (changes.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return changes.shift()!;
    };
    beforeEach(() => {
      changes.length = 0;
      watcher = new NfWatcher(
        new Discovery([profile({ packetThreads: '^packet-' })]),
        (change) => {
          changes.push(change);
          wake();
        },
        (thrown) => {
          throw thrown;
        },
      );
    });
    afterEach(() => watcher.stop());

    it('tells of an NF that appears, changes its cores, and goes', async function () {
      if (cpus().length < 2) this.skip();
      watcher.start(50);
      const victim = await start(TITLE, 1);
      // The title comes before the threads: what is seen first may still lack them.
      let change = await next();
      expect(change.kind).to.equal('appeared');
      while (!change.nf.threads.some((thread) => thread.packet)) change = await next();
      setAffinity(victim.tids[0]!, [0]);
      while (change.nf.cores.length === 0) change = await next();
      expect(change).to.have.property('kind', 'changed');
      expect(change.nf.cores).to.deep.equal([0]);
      await victim.end();
      while (change.kind !== 'gone') change = await next();
      expect(change.nf.pid).to.equal(victim.pid);
    });

    it('tells of an NF that was killed and started again as one restart', async () => {
      const first = await start(TITLE);
      watcher.start(1 << 30);
      expect((await next()).kind).to.equal('appeared');
      watcher.stop();
      first.child.kill('SIGKILL');
      await once(first.child, 'exit');
      const second = await start(TITLE);
      watcher.start(1 << 30);
      const change = await next();
      expect(change).to.have.property('kind', 'restarted');
      expect(change.nf.pid).to.equal(second.pid);
      expect('before' in change && change.before.pid).to.equal(first.pid);
      expect(changes).to.deep.equal([]);
    });
  });
});
