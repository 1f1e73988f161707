/** Arrivals of calls: the Azure trace in its file, and Poisson. */

import { expect } from 'chai';
import { azureTrace, poissonArrivals, scaleTrace } from '../../bench/arrivals.js';

describe('arrivals of the bench', () => {
  it('squeezes the Azure trace into the time given: all calls, all functions, in order', () => {
    const calls = azureTrace(10);
    expect(calls).to.have.length(199);
    expect(new Set(calls.map(({ fn }) => fn)).size).to.equal(31);
    expect(calls[0]!.atMs).to.be.within(0, 100);
    expect(calls.at(-1)!.atMs).to.be.closeTo(10_000, 1e-6);
    for (const [i, { atMs, busyMs }] of calls.entries()) {
      expect(atMs).to.be.at.least(calls[Math.max(0, i - 1)]!.atMs);
      expect(busyMs).to.be.within(1, 10);
    }
  });

  it('scales gaps and durations by one factor', () => {
    const csv = 'app,func,end_timestamp,duration\na,f,100,10\na,g,190,0.3\na,f,200,0.4\n';
    expect(scaleTrace(csv, 1.996)).to.deep.equal([
      { fn: 0, atMs: 900, busyMs: 10 },
      { fn: 1, atMs: 1897, busyMs: 3 },
      { fn: 0, atMs: 1996, busyMs: 4 },
    ]);
  });

  it('makes Poisson arrivals of the mean rate, the same for a seed, over all paths', () => {
    const take = (seed: number) => {
      const arrivals = poissonArrivals(['/a', '/b'], 100, seed);
      return Array.from({ length: 4_000 }, () => arrivals.next().value as { atMs: number; path: string });
    };
    const made = take(1);
    expect(made.at(-1)!.atMs).to.be.within(38_000, 42_000);
    expect(made.filter(({ path }) => path === '/a')).to.have.length(2_000);
    expect(take(1)).to.deep.equal(made);
    expect(take(2)).to.not.deep.equal(made);
  });
});
