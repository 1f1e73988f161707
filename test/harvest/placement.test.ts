import { expect } from 'chai';
import { mostSpare, type PlacementCore } from '../../src/harvest/placement.js';
import { POLICY_NAMES, policyByName } from '../../src/harvest/policies.js';

const core = (number: number, over: Partial<PlacementCore> = {}): PlacementCore => ({
  core: number,
  running: 0,
  budgetRunning: 1,
  predictedSpareRatio: 0.5,
  throttleLevel: 0,
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
