import { expect } from 'chai';
import { FROZEN } from '../../src/conflict/ladder.js';
import { closedSlice, type SliceSigns, sliceLimitUs, stepSlice } from '../../src/harvest/slice-policy.js';
import { GATE } from '../../src/tunables.js';

const CALM: SliceSigns = { nowMs: 0, packetsPerS: 50_000, sloUs: 1_000, throttleLevel: 0 };

describe('slice policy', () => {
  const limits: Array<[string, Partial<SliceSigns>, number]> = [
    ['a wide SLO: the longest slice there is', {}, GATE.sliceMaxUs],
    ['an SLO that leaves little', { sloUs: 150 }, 150 * GATE.sloShare - GATE.overshootUs],
    ['an SLO that leaves nothing', { sloUs: 90 }, 0],
    ['no SLO', { sloUs: 0 }, GATE.sliceMaxUs],
    ['more packets than may gather', { packetsPerS: 2_000_000 }, 0],
    ['many packets', { packetsPerS: 800_000 }, 80 - GATE.overshootUs],
    ['half of the core', { throttleLevel: 2 }, GATE.sliceMaxUs / 2],
    ['frozen', { throttleLevel: FROZEN }, 0],
  ];
  for (const [title, signs, limitUs] of limits) {
    it(`${title}: ${limitUs} us`, () => {
      expect(sliceLimitUs({ ...CALM, ...signs })).to.be.closeTo(limitUs, 1e-9);
    });
  }

  it('grows slowly, retreats at once, and stays closed for a while', () => {
    const state = closedSlice();
    const at = (nowMs: number, signs: Partial<SliceSigns> = {}): number => {
      stepSlice(state, { ...CALM, ...signs, nowMs });
      return state.sliceUs;
    };
    expect(at(1)).to.equal(GATE.sliceMinUs);
    expect(at(2)).to.equal(GATE.sliceMinUs + GATE.growUs);
    for (let ms = 3; ms < 100; ms++) at(ms);
    expect(state.sliceUs).to.equal(GATE.sliceMaxUs);
    expect(at(100, { packetsPerS: 5_000_000 })).to.equal(0);
    expect(state.periodUs).to.equal(0);
    expect(at(100 + GATE.retreatMs - 1)).to.equal(0);
    expect(at(100 + GATE.retreatMs)).to.equal(GATE.sliceMinUs);
  });

  it('always leaves the NF its gap', () => {
    const state = closedSlice();
    for (let ms = 1; ms < 200; ms++) {
      stepSlice(state, { ...CALM, nowMs: ms });
      const busyUs = state.sliceUs + GATE.overshootUs;
      expect(state.periodUs - busyUs).to.be.at.least(Math.max(GATE.gapMinUs, busyUs * GATE.gapShare) - 1e-9);
    }
  });
});
