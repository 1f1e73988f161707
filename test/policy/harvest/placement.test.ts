import { expect } from 'chai';
import { POLICY_NAMES, policyByName } from '../../../src/policy/harvest/policies.js';
import { mostSpare, type PlacementCore, sloUtilization } from '../../../src/policy/placement/placement.js';

const core = (number: number, over: Partial<PlacementCore> = {}): PlacementCore => ({
  core: number,
  running: 0,
  budgetRunning: 1,
  predictedSpareRatio: 0.5,
  throttleLevel: 0,
  sloUtilization: 0,
  ...over,
});

describe('harvest/placement', () => {
  it('takes the core with the most spare time', () => {
    expect(mostSpare.choose([core(1), core(2, { predictedSpareRatio: 0.9 }), core(3)])).to.equal(1);
  });

  it('never goes above a budget, and lets the call wait when no core has room', () => {
    const full = core(1, { running: 1, predictedSpareRatio: 1 });
    expect(mostSpare.choose([full, core(2, { predictedSpareRatio: 0.1 })])).to.equal(1);
    expect(mostSpare.choose([full, core(2, { budgetRunning: 0 })])).to.equal(-1);
    expect(mostSpare.choose([])).to.equal(-1);
  });

  it('prefers a calm core to a throttled one with more spare time', () => {
    const throttled = core(1, { throttleLevel: 1, predictedSpareRatio: 0.9 });
    expect(mostSpare.choose([throttled, core(2, { predictedSpareRatio: 0.1 })])).to.equal(1);
  });

  describe('of a function that was to blame', () => {
    const tight = core(1, { sloUtilization: 0.9, predictedSpareRatio: 0.9 });
    const free = core(2, { predictedSpareRatio: 0.3 });
    const blamed = (penalty: number, ...away: number[]) => ({ penalty, away: new Set(away) });

    it('goes rather where no packets are near their SLO', () => {
      expect(mostSpare.choose([tight, free])).to.equal(0);
      expect(mostSpare.choose([tight, free], blamed(1))).to.equal(1);
      expect(mostSpare.choose([tight, core(2, { running: 1 })], blamed(1))).to.equal(0);
    });

    it('is forgiven with time', () => expect(mostSpare.choose([tight, free], blamed(0.1))).to.equal(0));

    it('waits rather than go back at once', () => {
      expect(mostSpare.choose([tight], blamed(1, 1))).to.equal(-1);
      expect(mostSpare.choose([tight, free], blamed(0, 1))).to.equal(1);
    });

    it('minds an NF that is well now, and none that has no SLO', () => {
      expect(sloUtilization(0, 900)).to.equal(0);
      expect(sloUtilization(1_000, 900)).to.be.closeTo(0.9, 1e-9);
      expect(sloUtilization(1_000, 5_000)).to.equal(1);
      for (const p99Us of [10, Number.NaN, Number.NEGATIVE_INFINITY]) {
        expect(sloUtilization(1_000, p99Us)).to.be.closeTo(0.2, 1e-9);
      }
    });
  });
});

describe('harvest/policies', () => {
  it('knows its policies by name and names them when asked for another', () => {
    for (const name of POLICY_NAMES) expect(policyByName(name).name).to.equal(name);
    expect(() => policyByName('nmeo'))
      .to.throw()
      .with.property('hint')
      .that.includes('naive');
  });
});
