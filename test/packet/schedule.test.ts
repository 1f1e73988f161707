/** Pacing: rates, distributions, ends, and that a seed repeats a run. */

import { expect } from 'chai';
import { FixedRate, OnOff, Poisson, Replay, type Schedule } from '../../src/packet/schedule.js';

function times(schedule: Schedule, limit = 200_000): number[] {
  const result: number[] = [];
  for (let time = schedule.nextNs(); time !== -1 && result.length < limit; time = schedule.nextNs())
    result.push(time);
  return result;
}

const rising = (list: number[]) => list.every((time, i) => i === 0 || time >= list[i - 1]!);
const gaps = (list: number[]) => list.slice(1).map((time, i) => time - list[i]!);
const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;

describe('schedules', () => {
  it('fixed rate: even, without drift, ends by time or by count', () => {
    const list = times(new FixedRate({ ratePps: 30_000, durationNs: 1e9 }));
    expect(list).to.have.length(30_000);
    expect(list[15_000]).to.equal(5e8);
    expect(Math.max(...gaps(list)) - Math.min(...gaps(list))).to.be.at.most(1);
    const counted = new FixedRate({ ratePps: 1000, count: 3 });
    expect(times(counted)).to.deep.equal([0, 1e6, 2e6]);
    expect(counted.nextNs()).to.equal(-1);
  });

  it('poisson: the right rate, gaps with mean equal to deviation, repeatable by seed', () => {
    const make = (seed: number) => times(new Poisson({ ratePps: 50_000, seed, count: 100_000 }));
    const list = make(7);
    expect(rising(list)).to.equal(true);
    const between = gaps(list);
    const average = mean(between);
    const deviation = Math.sqrt(mean(between.map((gap) => (gap - average) ** 2)));
    expect(average).to.be.within(19_700, 20_300);
    expect(deviation / average).to.be.within(0.97, 1.03);
    expect(make(7)).to.deep.equal(list);
    expect(make(8)).to.not.deep.equal(list);
  });

  it('on/off: full rate in bursts, silence between them, the duty that was asked for', () => {
    const fixed = times(
      new OnOff({
        ratePps: 1_000_000,
        meanOnNs: 10_000,
        meanOffNs: 90_000,
        lengths: 'fixed',
        seed: 1,
        durationNs: 1e7,
      }),
    );
    expect(fixed).to.have.length(1000);
    expect(fixed.slice(9, 11)).to.deep.equal([9_000, 100_000]);
    const random = times(
      new OnOff({
        ratePps: 1e6,
        meanOnNs: 1e5,
        meanOffNs: 9e5,
        lengths: 'exponential',
        seed: 3,
        durationNs: 2e9,
      }),
    );
    expect(rising(random)).to.equal(true);
    // 2,000 bursts in expectation: the rate within four standard errors.
    expect(random.length / 2e5).to.be.within(0.87, 1.13);
  });

  it("replay: the capture's pace, scaled, looped", () => {
    const timesNs = [0, 10, 1000];
    expect(times(new Replay({ timesNs, speed: 1, loops: 1 }))).to.deep.equal([0, 10, 1000]);
    expect(times(new Replay({ timesNs, speed: 2, loops: 2, loopGapNs: 500 }))).to.deep.equal([
      0, 5, 500, 750, 755, 1250,
    ]);
    expect(
      times(new Replay({ timesNs, speed: 1, loops: Number.POSITIVE_INFINITY, count: 7 })),
    ).to.have.length(7);
  });

  it('refuses rates and speeds that are no positive numbers', () => {
    for (const make of [
      () => new FixedRate({ ratePps: 0 }),
      () => new Poisson({ ratePps: Number.NaN, seed: 1 }),
      () => new OnOff({ ratePps: 1, meanOnNs: 0, meanOffNs: 1, lengths: 'fixed', seed: 1 }),
      () => new Replay({ timesNs: [0], speed: -1, loops: 1 }),
    ]) {
      expect(make).to.throw().with.property('code', 'BAD_CONFIG');
    }
    expect(() => new Replay({ timesNs: [], speed: 1, loops: 1 }))
      .to.throw()
      .with.property('code', 'BAD_CAPTURE');
  });
});
