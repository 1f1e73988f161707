import { expect } from 'chai';
import {
  attribute,
  blame,
  COUNTERS,
  hostStalled,
  penaltyNow,
  type Suspect,
  suspectsAt,
} from '../../../src/policy/conflict/attribution.js';
import { CONFLICT } from '../../../src/tunables/index.js';

const suspect = (recentNs: number, over: Partial<Suspect> = {}): Suspect => ({
  recentNs,
  busy: true,
  penalty: 0,
  penaltyAtMs: 0,
  heldUntilMs: 0,
  rates: new Float64Array(COUNTERS.length),
  ...over,
});

/** Share of a core in the kernel, page faults and bytes taken a second. */
const rates = (kernel: number, faults: number, bytes: number) => ({
  rates: Float64Array.of(kernel, faults, bytes),
});
const STORM = rates(0.4, 300_000, 0);

describe('conflict/attribution', () => {
  const table: Array<[string, Suspect[], number]> = [
    ['the one that used most of the core', [suspect(1e6), suspect(9e6)], 1],
    ['nobody when they share evenly', [suspect(5e6), suspect(5e6)], -1],
    ['nobody when only one runs: that is for the ladder', [suspect(9e6)], -1],
    ['none that is idle', [suspect(9e6, { busy: false }), suspect(1e6), suspect(9e6)], 2],
    ['none that is held already', [suspect(9e6, { heldUntilMs: 200 }), suspect(1e6)], -1],
    [
      'of two alike, the one that was to blame before',
      [suspect(5e6), suspect(5e6, { penalty: 1, penaltyAtMs: 100 })],
      1,
    ],
    ['nobody when no one used the core', [suspect(0), suspect(0)], -1],
    ['of two with the same CPU time, the one that storms the kernel', [suspect(5e6), suspect(5e6, STORM)], 1],
    ['a storm that uses less CPU time than its neighbour', [suspect(7e6), suspect(3e6, STORM)], 1],
    [
      'nobody for counters that are as small as those of any function',
      [suspect(5e6, rates(0.01, 2_000, 1e6)), suspect(5e6)],
      -1,
    ],
    [
      'the one that takes memory, where only that shows',
      [suspect(5e6, rates(0, 0, 1e9)), suspect(5e6, rates(0.02, 0, 0))],
      0,
    ],
    [
      'nobody when CPU time says one and counters the other',
      [suspect(9e6), suspect(1e6, rates(0, 3e5, 0))],
      -1,
    ],
    ['nobody when both storm', [suspect(5e6, STORM), suspect(5e6, STORM)], -1],
  ];
  for (const [title, suspects, expected] of table) {
    it(`blames ${title}`, () => expect(attribute(suspects, 100)?.index ?? -1).to.equal(expected));
  }

  it('says what the culprit stands out by', () => {
    expect(attribute([suspect(7e6), suspect(3e6, STORM)], 100)?.why).to.equal(
      '100 % of the kernel time, 100 % of the page faults',
    );
  });

  it('knows who runs: not those that wait, and not those that are frozen already', () => {
    const held = suspect(1, { heldUntilMs: 200 });
    expect(suspectsAt([suspect(0, { busy: false }), suspect(1), held, suspect(0)], 100)).to.deep.equal([
      1, 3,
    ]);
    expect(suspectsAt([], 100)).to.deep.equal([]);
  });

  it('holds longer at each blame, up to the longest freeze, and forgets with time', () => {
    const one = suspect(1e6);
    expect(blame(one, 100)).to.be.closeTo(CONFLICT.culpritHoldMs, 1e-9);
    expect(blame(one, 120)).to.be.greaterThan(CONFLICT.culpritHoldMs * 1.9);
    for (let i = 0; i < 20; i++) expect(blame(one, 130 + i)).to.be.at.most(CONFLICT.frozenMaxMs);
    expect(penaltyNow(one, 1e6)).to.be.lessThan(0.001);
    expect(blame(one, 1e6)).to.be.closeTo(CONFLICT.culpritHoldMs, 0.1);
  });

  it('excuses a late loop, but not again within the window', () => {
    const lateNs = CONFLICT.hostLateUs * 1_000;
    expect(hostStalled(lateNs + 1, 100, Number.NEGATIVE_INFINITY)).to.equal(true);
    expect(hostStalled(lateNs, 100, Number.NEGATIVE_INFINITY)).to.equal(false);
    expect(hostStalled(lateNs + 1, 100, 100 - CONFLICT.hostExcuseGapMs)).to.equal(false);
  });
});
