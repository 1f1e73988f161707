import { expect } from 'chai';
import { ConflictDetector, type TickSigns } from '../../../src/policy/conflict/detect.js';
import { CONFLICT } from '../../../src/tunables/index.js';

const SLO_US = 1000;
const signs = (over: Partial<TickSigns> = {}): TickSigns => ({
  packets: 50,
  aboveSlo: 0,
  runqueueWaitNs: 0,
  slices: 10,
  queueSign: false,
  functionsRan: true,
  ...over,
});

function verdictOf(...ticks: TickSigns[]): string {
  const detector = new ConflictDetector(SLO_US);
  for (const tick of ticks) detector.observe(tick);
  return detector.judge();
}

describe('conflict/detect', () => {
  it('is calm while at most one packet in a hundred is above the SLO', () => {
    const ticks = Array.from({ length: 20 }, (_, i) => signs({ aboveSlo: i === 5 ? 10 : 0 }));
    expect(verdictOf(...ticks)).to.equal('calm');
  });

  it('sees the SLO broken once the p99 is above it', () => {
    const ticks = Array.from({ length: 20 }, (_, i) => signs({ aboveSlo: i === 5 ? 11 : 0 }));
    expect(verdictOf(...ticks)).to.equal('broken');
  });

  it('sees a severe conflict in the first tick in which many packets are late', () => {
    expect(verdictOf(signs({ aboveSlo: 20 }))).to.equal('severe');
  });

  it('does not take one stray packet of a quiet NF for a conflict', () => {
    expect(verdictOf(signs({ packets: 2, aboveSlo: 1 }))).to.equal('calm');
  });

  it('blames no function when none ran on the core', () => {
    const late = signs({ aboveSlo: 50, functionsRan: false, runqueueWaitNs: 1e9 });
    expect(verdictOf(late, late, late)).to.equal('calm');
  });

  it('still knows that the SLO is broken when no function ran', () => {
    const detector = new ConflictDetector(SLO_US);
    detector.observe(signs({ aboveSlo: 50, functionsRan: false }));
    expect(detector.sloBroken()).to.equal(true);
    detector.reset();
    expect(detector.sloBroken()).to.equal(false);
  });

  it('takes run-queue delay as a leading sign', () => {
    const waitNs = SLO_US * 1000 * CONFLICT.leadingWaitShare * 10;
    expect(verdictOf(signs({ runqueueWaitNs: waitNs + 100 }))).to.equal('leading');
    expect(verdictOf(signs({ runqueueWaitNs: waitNs - 100 }))).to.equal('calm');
  });

  it('takes what waits or is dropped before the NF as a leading sign, if a function ran', () => {
    expect(verdictOf(signs({ queueSign: true }))).to.equal('leading');
    expect(verdictOf(signs({ queueSign: true, functionsRan: false }))).to.equal('calm');
  });

  it('forgets what left the window', () => {
    const detector = new ConflictDetector(SLO_US);
    detector.observe(signs({ aboveSlo: 50 }));
    for (let i = 0; i < CONFLICT.windowTicks; i++) detector.observe(signs());
    expect(detector.judge()).to.equal('calm');
  });

  it('judges packets that were seen between two ticks with the newest tick, and forgets them with it', () => {
    const detector = new ConflictDetector(SLO_US);
    detector.observe(signs());
    detector.amend(10, 10);
    expect(detector.judge()).to.equal('severe');
    for (let i = 1; i < CONFLICT.windowTicks; i++) detector.observe(signs());
    expect(detector.aboveShare()).to.be.closeTo(10 / (CONFLICT.windowTicks * 50 + 10), 1e-9);
    detector.observe(signs());
    expect(detector.aboveShare()).to.equal(0);
  });

  it('judges packets once: after a reset only new ones count', () => {
    const detector = new ConflictDetector(SLO_US);
    detector.observe(signs({ aboveSlo: 50 }));
    detector.reset();
    detector.observe(signs());
    expect(detector.judge()).to.equal('calm');
    detector.observe(signs({ aboveSlo: 50 }));
    expect(detector.judge()).to.equal('severe');
  });
});
