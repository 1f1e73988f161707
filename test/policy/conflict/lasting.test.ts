import { expect } from 'chai';
import { LastingBreach } from '../../../src/policy/conflict/lasting.js';
import { CONFLICT } from '../../../src/tunables/index.js';

/** One packet every `everyTicks`, of which `late(i)` says whether it is above the SLO. Ticks until it was broken, or 0. */
function run(everyTicks: number, packets: number, late: (i: number) => boolean, counts = true): number {
  const lasting = new LastingBreach();
  for (let tick = 1; tick <= packets * everyTicks; tick++) {
    const comes = tick % everyTicks === 0;
    const above = comes && late(tick / everyTicks - 1) ? 1 : 0;
    lasting.observe(comes ? 1 : 0, above, counts);
    if (lasting.broken()) return tick;
  }
  return 0;
}

describe('conflict/lasting', () => {
  it('three late packets in a row are enough, however rare they are', () => {
    for (const everyTicks of [20, 200, 2_000, 9_000]) {
      expect(run(everyTicks, 3, () => true)).to.be.within(2 * everyTicks, 3 * everyTicks);
    }
  });

  it('one stray is none, nor are a few among many that are well', () => {
    expect(run(20, 1_000, (i) => i === 100)).to.equal(0);
    expect(run(2, 5_000, (i) => i % 200 === 0)).to.equal(0);
  });

  it('takes a p99 above the SLO that lasts, though the late ones are far apart', () => {
    expect(run(20, 1_000, (i) => i % 60 === 0)).to.be.within(1, 6_000);
  });

  it('counts only packets that functions can have hurt', () => {
    expect(run(20, 1_000, () => true, false)).to.equal(0);
  });

  it('forgets what left the window, and what was answered for', () => {
    const lasting = new LastingBreach();
    lasting.observe(10, 5, true);
    expect(lasting.broken()).to.equal(true);
    for (let i = 0; i < CONFLICT.lastingParts * CONFLICT.lastingPartTicks; i++) lasting.observe(0, 0, true);
    lasting.observe(1, 0, true);
    expect(lasting.broken()).to.equal(false);
    lasting.observe(10, 10, true);
    lasting.reset();
    expect(lasting.broken()).to.equal(false);
    expect(lasting.aboveShare()).to.equal(0);
  });

  it('knows the pace of packets', () => {
    const lasting = new LastingBreach();
    expect(lasting.paceTicks()).to.equal(0);
    for (let tick = 0; tick < 3_000; tick++) lasting.observe(tick % 20 === 0 ? 1 : 0, 0, false);
    expect(lasting.paceTicks()).to.be.closeTo(20, 1);
  });
});
