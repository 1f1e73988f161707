import { expect } from 'chai';
import {
  CoreHistory,
  emptyView,
  type LaneView,
  latencyBounds,
  throttledStretches,
} from '../../src/console/web/history.js';
import { FeedSource } from './support/feed-source.js';

const sample = new FeedSource(0).next().cores[2]!;

function viewOf(history: CoreHistory, nowMs: number): LaneView {
  const view = emptyView();
  history.fill(view, nowMs);
  return view;
}

describe('console history of a core', () => {
  it('keeps a minute, oldest first, in seconds before now', () => {
    const history = new CoreHistory();
    for (let i = 0; i <= 900; i++) history.push(i * 100, { ...sample, nfRatio: i / 1_000 });
    const { xS, nfTop } = viewOf(history, 90_000);
    expect(xS.length).to.equal(601);
    expect([xS[0], xS.at(-1)]).to.deep.equal([-60, 0]);
    expect(nfTop[0]).to.be.closeTo(0.3, 1e-6);
    expect(nfTop.at(-1)).to.be.closeTo(0.9, 1e-6);
  });

  it('stays bounded however many samples come', () => {
    const history = new CoreHistory();
    for (let i = 0; i < 10_000; i++) history.push(i, sample);
    expect(history.length).to.equal(1_200);
    expect(viewOf(history, 9_999).xS[0]).to.equal(-1.199);
  });

  it('stacks NF, functions and other; a view that shrinks keeps no old rows', () => {
    const history = new CoreHistory();
    const view = emptyView();
    history.push(0, { ...sample, nfRatio: 0.2, functionRatio: 0.5, otherRatio: 0.1 });
    history.push(100, sample);
    history.fill(view, 100);
    expect(view.nfTop[0]).to.be.closeTo(0.2, 1e-6);
    expect(view.functionTop[0]).to.be.closeTo(0.7, 1e-6);
    expect(view.otherTop[0]).to.be.closeTo(0.8, 1e-6);
    history.fill(view, 60_050);
    for (const column of [view.xS, view.idleTop, view.level, view.p50Us]) expect(column.length).to.equal(1);
  });

  it('breaks the line where frames are missing, and where there is no latency', () => {
    const history = new CoreHistory();
    history.push(0, sample);
    history.push(100, { ...sample, p50Us: null, p99Us: null });
    history.push(3_000, sample);
    const view = viewOf(history, 3_000);
    expect(view.nfTop.map((value) => value === null)).to.deep.equal([false, false, true, false]);
    expect(view.p99Us.map((value) => value === null)).to.deep.equal([false, true, true, false]);
  });

  it('takes the same frame twice for one, and starts again when the clock is set back', () => {
    const history = new CoreHistory();
    history.push(5_000, sample);
    history.push(5_000, sample);
    expect(history.length).to.equal(1);
    history.push(1_000, sample);
    expect(viewOf(history, 1_000).xS).to.deep.equal([0]);
  });

  it('finds throttled stretches with the strongest level in each', () => {
    const history = new CoreHistory();
    [0, 1, 3, 2, 0, 0, 1].forEach((throttleLevel, i) => {
      history.push(i * 100, { ...sample, throttleLevel });
    });
    expect(throttledStretches(viewOf(history, 600))).to.deep.equal([
      { fromS: -0.5, toS: -0.2, level: 3 },
      { fromS: 0, toS: 0, level: 1 },
    ]);
  });

  it('bounds the latency axis at 1 and 3 of a decade, around all values', () => {
    expect(latencyBounds(null, null)).to.deep.equal([1, 1_000]);
    expect(latencyBounds(18, 500)).to.deep.equal([10, 1_000]);
    expect(latencyBounds(40, 200)).to.deep.equal([30, 300]);
    for (const value of [0.03, 1, 2.9, 3, 3.1, 9.99, 10, 290, 1e6]) {
      const [low, high] = latencyBounds(value, value);
      expect(low, `low of ${value}`).to.be.below(value);
      expect(high, `high of ${value}`).to.be.above(value);
    }
  });
});
