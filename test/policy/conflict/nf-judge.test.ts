import { expect } from 'chai';
import type { TickSigns } from '../../../src/policy/conflict/detect.js';
import { NfJudge } from '../../../src/policy/conflict/nf-judge.js';

const SLO_US = 1_000;
const signs = (over: Partial<TickSigns> = {}): TickSigns => ({
  packets: 0,
  aboveSlo: 0,
  runqueueWaitNs: 0,
  slices: 0,
  queueSign: false,
  functionsRan: true,
  ...over,
});
const LATE = signs({ packets: 1, aboveSlo: 1 });
const WELL = signs({ packets: 1 });

/** One packet every 50 ticks, those in `late` of each three above the SLO; what the judge says in the end. */
function judged(
  judge: NfJudge,
  packets: number,
  late: (i: number) => boolean,
  each?: (i: number) => void,
): string {
  for (let i = 0; i < packets; i++) {
    for (let tick = 0; tick < 49; tick++) judge.observe(signs(), true, false);
    judge.observe(late(i) ? LATE : WELL, true, false);
    each?.(i);
  }
  return judge.judge();
}

describe('conflict/nf-judge', () => {
  it('finds rare packets late that never are three in 20 ms', () => {
    expect(judged(new NfJudge(SLO_US), 9, (i) => i % 3 === 0)).to.equal('severe');
    expect(judged(new NfJudge(SLO_US), 9, () => false)).to.equal('calm');
  });

  it('keeps what it saw of them when the core is throttled for another sign meanwhile', () => {
    const judge = new NfJudge(SLO_US);
    expect(
      judged(
        judge,
        9,
        (i) => i % 3 === 0,
        () => judge.resetShort(),
      ),
    ).to.equal('severe');
    judge.reset();
    expect(judge.judge()).to.equal('calm');
  });

  it('blames nobody for what packets did long after functions ran', () => {
    const judge = new NfJudge(SLO_US);
    for (let tick = 0; tick < 200; tick++) judge.observe(signs({ functionsRan: false }), true, false);
    for (let i = 0; i < 10; i++)
      judge.observe(signs({ packets: 1, aboveSlo: 1, functionsRan: false }), true, false);
    expect(judge.judge()).to.equal('calm');
  });

  it('off the core it says whether the SLO is broken all the same', () => {
    const judge = new NfJudge(SLO_US);
    for (let i = 0; i < 4; i++)
      judge.observe(signs({ packets: 1, aboveSlo: 1, functionsRan: false }), false, true);
    expect(judge.sloBroken()).to.equal(true);
  });
});
