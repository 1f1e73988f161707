import { expect } from 'chai';
import { FROZEN } from '../../../src/policy/conflict/ladder.js';
import {
  closedSlice,
  type SliceSigns,
  sliceLimitUs,
  stepSlice,
} from '../../../src/policy/harvest/slice-policy.js';
import { GATE } from '../../../src/tunables/index.js';

const OVER = 40;
const CALM: SliceSigns = {
  ...{ nowMs: 0, packetsPerS: 50_000, sloUs: 1_000, p99Us: Number.NaN, throttleLevel: 0, overshootUs: OVER },
};

describe('slice policy', () => {
  const limits: Array<[string, Partial<SliceSigns>, number]> = [
    ['a wide SLO: the longest slice there is', {}, GATE.sliceMaxUs],
    ['an SLO that leaves little', { sloUs: 150 }, 150 * GATE.sloShare - OVER],
    ['an SLO that leaves nothing', { sloUs: 60 }, 0],
    ['no SLO', { sloUs: 0 }, GATE.sliceMaxUs],
    ['more packets than may gather', { packetsPerS: 2_000_000 }, 0],
    ['many packets', { packetsPerS: 800_000 }, 80 - OVER],
    ['half of the core', { throttleLevel: 2 }, GATE.sliceMaxUs / 2],
    ['frozen', { throttleLevel: FROZEN }, 0],
  ];
  for (const [title, signs, limitUs] of limits) {
    it(`${title}: ${limitUs} us`, () => {
      expect(sliceLimitUs({ ...CALM, ...signs })).to.be.closeTo(limitUs, 1e-9);
    });
  }

  const stepper = () => {
    const state = closedSlice();
    const at = (nowMs: number, signs: Partial<SliceSigns> = {}): number => {
      stepSlice(state, { ...CALM, ...signs, nowMs });
      return state.sliceUs;
    };
    return { state, at };
  };

  it('grows slowly, retreats at once from a burst, and stays closed for a while', () => {
    const { state, at } = stepper();
    expect(at(1)).to.equal(GATE.sliceMinUs);
    expect(at(2)).to.equal(GATE.sliceMinUs + GATE.growUs);
    for (let ms = 3; ms < 100; ms++) at(ms);
    expect(state.sliceUs).to.equal(GATE.sliceMaxUs);
    expect(at(100, { packetsPerS: 50_000 * GATE.burstFactor * 1.5 })).to.equal(0);
    expect(at(100 + GATE.retreatMs - 1)).to.equal(0);
    expect(at(100 + GATE.retreatMs)).to.equal(GATE.sliceMinUs);
  });

  it('takes a rise that lasts for usual', () => {
    const { state, at } = stepper();
    for (let ms = 1; ms < 100; ms++) at(ms);
    for (let ms = 100; ms < 400; ms++) at(ms, { packetsPerS: 200_000 });
    expect(state.sliceUs).to.equal(GATE.sliceMaxUs);
  });

  it('shrinks slices while the reported p99 is near the SLO, and lets them grow again after that', () => {
    const { state, at } = stepper();
    for (let ms = 1; ms < 1_000; ms++) at(ms, { p99Us: 950 });
    expect(state.sliceUs).to.be.below(GATE.sliceMaxUs * 0.7);
    for (let ms = 1_000; ms < 4_000; ms++) at(ms, { p99Us: 300 });
    expect(state.sliceUs).to.equal(GATE.sliceMaxUs);
  });

  it('always leaves the NF its gap, twice as long from the first throttle level on', () => {
    const { state, at } = stepper();
    for (let ms = 1; ms < 200; ms++) {
      at(ms);
      const leastUs = Math.max(GATE.gapMinUs, (state.sliceUs + OVER) * GATE.gapShare);
      expect(state.gapUs).to.be.at.least(leastUs - 1e-9);
    }
    const before = state.gapUs;
    at(200, { throttleLevel: 1 });
    expect(state.gapUs).to.equal(before * 2);
  });
});
