import { expect } from 'chai';
import { BaselineComparison } from '../../../src/policy/conflict/baseline-comparison.js';
import { CONFLICT } from '../../../src/tunables/index.js';

/** `count` windows of 1,000 packets each, of which every `brokenEvery`th is broken by `above` late packets. */
function windows(
  evidence: BaselineComparison,
  count: number,
  how: { ran: boolean; brokenEvery?: number; above?: number; packets?: number },
): void {
  const perTick = (how.packets ?? 1_000) / CONFLICT.windowTicks;
  for (let i = 0; i < count; i++) {
    const broken = how.brokenEvery !== undefined && i % how.brokenEvery === 0;
    const above = broken ? (how.above ?? 50) / CONFLICT.windowTicks : 0;
    for (let tick = 0; tick < CONFLICT.windowTicks; tick++) evidence.observe(perTick, above, how.ran);
  }
}

describe('conflict/baseline-comparison', () => {
  it('does not acquit before enough was seen without functions', () => {
    const evidence = new BaselineComparison();
    windows(evidence, 100, { ran: true, brokenEvery: 4 });
    windows(evidence, CONFLICT.evidenceWindows - 1, { ran: false, brokenEvery: 1 });
    expect(evidence.acquits()).to.equal(false);
    windows(evidence, 3, { ran: false, brokenEvery: 1 });
    expect(evidence.acquits()).to.equal(true);
  });

  it('acquits when packets are as late without functions, and convicts when they are late only beside them', () => {
    const own = new BaselineComparison();
    windows(own, 100, { ran: true, brokenEvery: 4 });
    windows(own, 41, { ran: false, brokenEvery: 4 });
    expect(own.acquits()).to.equal(true);

    const theirs = new BaselineComparison();
    windows(theirs, 100, { ran: true, brokenEvery: 4 });
    windows(theirs, 41, { ran: false, brokenEvery: 40 });
    expect(theirs.acquits()).to.equal(false);
  });

  it('convicts functions that make broken windows worse, not more frequent', () => {
    const evidence = new BaselineComparison();
    windows(evidence, 100, { ran: true, brokenEvery: 4, above: 500 });
    windows(evidence, 41, { ran: false, brokenEvery: 4, above: 20 });
    expect(evidence.acquits()).to.equal(false);
  });

  it('never acquits an NF that meets its SLO alone, however rare the conflicts are', () => {
    const evidence = new BaselineComparison();
    windows(evidence, 1_000, { ran: false });
    windows(evidence, 1_000, { ran: true, brokenEvery: 500 });
    expect(evidence.acquits()).to.equal(false);
  });

  it('changes its mind when functions begin to hurt', () => {
    const evidence = new BaselineComparison();
    windows(evidence, 50, { ran: false, brokenEvery: 5 });
    windows(evidence, 50, { ran: true, brokenEvery: 10 });
    expect(evidence.acquits()).to.equal(true);
    windows(evidence, 50, { ran: true, brokenEvery: 1, above: 200 });
    expect(evidence.acquits()).to.equal(false);
  });

  it('forgets: what was seen without functions long ago acquits nobody now', () => {
    const evidence = new BaselineComparison();
    windows(evidence, 20, { ran: false, brokenEvery: 2 });
    windows(evidence, 2_000, { ran: true, brokenEvery: 2 });
    expect(evidence.acquits()).to.equal(false);
  });

  it('joins windows of few packets to longer ones: rare packets tell as much', () => {
    const own = new BaselineComparison();
    windows(own, 200, { ran: true, brokenEvery: 1, packets: 1, above: 1 });
    windows(own, 200, { ran: false, brokenEvery: 1, packets: 1, above: 1 });
    expect(own.unmeetable()).to.equal(true);

    const theirs = new BaselineComparison();
    windows(theirs, 200, { ran: true, brokenEvery: 1, packets: 1, above: 1 });
    windows(theirs, 400, { ran: false, packets: 1 });
    expect(theirs.unmeetable()).to.equal(false);
    expect(theirs.acquits()).to.equal(false);
  });

  it('leaves out windows in which functions came or went', () => {
    const evidence = new BaselineComparison();
    for (let i = 0; i < 50; i++) {
      windows(evidence, 1, { ran: true });
      windows(evidence, 1, { ran: false, brokenEvery: 1 });
    }
    expect(evidence.acquits()).to.equal(false);
    expect(evidence.unmeetable()).to.equal(false);
  });

  it('says that an SLO is unmeetable only when most windows without functions break it', () => {
    const evidence = new BaselineComparison();
    windows(evidence, 40, { ran: false, brokenEvery: 3 });
    expect(evidence.unmeetable()).to.equal(false);
    windows(evidence, 60, { ran: false, brokenEvery: 1 });
    expect(evidence.unmeetable()).to.equal(true);
  });
});
