import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { IDLE_SHARES, readStanding, standingOf } from '../../../src/linux/cgroup/standing.js';
import { realTimeRatio, realTimeRefusal, standingNotes, weightRefusal } from '../../../src/nf/standing.js';

const at = (group: string) => ({ group, directory: `/cgroup${group}` });
const budget = (realTimeRatio: number, realTimePeriodUs = 1e6) =>
  standingOf([{ ...at('/nf'), realTimeRatio, realTimePeriodUs }]);

describe('linux/cgroup/standing', () => {
  it('of several groups the strictest counts, and every quota', () => {
    const standing = standingOf([
      { ...at('/kubepods'), shares: 2048, quotaCores: 4, realTimeRatio: 0.5 },
      { ...at('/kubepods/besteffort'), shares: 2, realTimeRatio: 0.95 },
      { ...at('/kubepods/besteffort/pod'), shares: 1024, quotaCores: 0.2 },
    ]);
    expect(standing.weight).to.deep.equal({ shares: 2, group: '/kubepods/besteffort' });
    expect(standing.quota).to.deep.equal({ cores: 0.2, group: '/kubepods/besteffort/pod' });
    expect(standing.quotaStatPaths).to.deep.equal([
      '/cgroup/kubepods/cpu.stat',
      '/cgroup/kubepods/besteffort/pod/cpu.stat',
    ]);
    expect(standing.realTime).to.include({ ratio: 0.5, group: '/kubepods' });
  });

  it('an idle group weighs 3, whatever its shares say', () => {
    expect(standingOf([{ ...at('/nf'), shares: 1024, idle: true }]).weight!.shares).to.equal(IDLE_SHARES);
  });

  it('the root group has no limits', () => {
    const standing = standingOf([]);
    expect(standing.quotaStatPaths).to.deep.equal([]);
    expect(weightRefusal(standing, false)).to.equal(undefined);
    expect(realTimeRefusal(standing)).to.equal(undefined);
    expect(standingNotes(standing)).to.deep.equal([]);
  });

  it('refuses functions beside a group of their weight, not beside one of ten times that, nor real-time threads', () => {
    const of = (shares: number) => standingOf([{ ...at('/nf'), shares }]);
    expect(weightRefusal(of(2), false)).to.include('/nf has a CPU weight of 2 of 1024');
    // cpu.weight 1 of v2.
    expect(weightRefusal(of(10.24), false)).to.include('10.24');
    expect(weightRefusal(of(30), false)).to.equal(undefined);
    expect(weightRefusal(of(2), true)).to.equal(undefined);
  });

  for (const [ratio, periodUs, refused] of [
    [0, 1e6, true],
    [0.1, 1e6, true],
    [0.3, 1e6, false],
    [0.95, 1e6, false],
    [0.5, 100_000, false],
    [0.1, 100_000, true],
  ] as const) {
    it(`${refused ? 'refuses' : 'allows'} FIFO with ${ratio * periodUs} of ${periodUs} us`, () => {
      const refusal = realTimeRefusal(budget(ratio, periodUs));
      if (refused) expect(refusal).to.include(`write ${Math.ceil(periodUs * 0.95)} to its cpu.rt_runtime_us`);
      else expect(refusal).to.equal(undefined);
    });
  }

  it('shares a budget among the threads of a core, and says nothing of a whole one', () => {
    expect(realTimeRatio(budget(0.95), 1)).to.equal(undefined);
    expect(realTimeRatio(budget(0.475), 2)).to.be.closeTo(0.25, 1e-9);
  });

  it('says what its operator should know', () => {
    const standing = standingOf([{ ...at('/nf'), shares: 2, quotaCores: 0.5, realTimeRatio: 0.1 }]);
    expect(standingNotes(standing, 3)).to.deep.equal([
      'its cgroup /nf has a CPU weight of 2 of 1024',
      'its cgroup /nf has a CPU quota of 0.5 cores, which stops it 3 times a second',
      'its cgroup /nf lets real-time threads run for 10 % of the time',
    ]);
  });

  it('a process that is gone has none', () => {
    const empty = mkdtempSync('/tmp/nemo-standing-');
    try {
      mkdirSync(`${empty}/x`);
      writeFileSync(`${empty}/x/cpu.weight`, '1');
      expect(readStanding(2 ** 22 + 1, undefined, empty).weight).to.equal(undefined);
    } finally {
      rmSync(empty, { recursive: true });
    }
  });
});
